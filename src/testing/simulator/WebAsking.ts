/** What asking is on either version of HTTP: what a request says, and what is noted of it. */
import type { ClientPlan } from "./ClientPlan.ts"
import type { Journal } from "./Journal.ts"
import { requestBody } from "./WebPlan.ts"
import type { RequestRecord } from "./WebRecords.ts"
import { REQUIRED_FIELD } from "./WebSite.ts"
import type { After } from "./WebStreams.ts"

export const begin = (record: RequestRecord, journal: Journal): void => {
  journal.note({ _tag: "Requested", client: record.client, index: record.index })
  record.sentAt = journal.events.length
}

export const finish = (record: RequestRecord, isWhole: boolean, journal: Journal): void => {
  record.end = isWhole && record.statuses.length > 0 ? "whole" : "cut"
  const { client, end, index, statuses } = record
  const bytes = record.body.reduce((sum, { length }) => sum + length, 0)
  journal.note({ _tag: "Responded", client, index, status: statuses[0], end, bytes })
  record.doneAt = journal.events.length
}

export const cancelInTime = (record: RequestRecord, journal: Journal, after: After, cancel: () => void): void => {
  if (record.plan.cancelledAfterMs === undefined) return
  after(record.plan.cancelledAfterMs, () => {
    if (record.end !== undefined) return
    record.cancelledMs = journal.now()
    cancel()
  })
}

export const hasBody = ({ plan: { method } }: RequestRecord): boolean => method === "POST" || method === "PUT"

export const bodyOf = (record: RequestRecord): Uint8Array => requestBody(record.client, record.index, record.plan)

export const authorityOf = ({ hostname }: ClientPlan, { plan }: RequestRecord): string =>
  plan.flaw === "misdirected" ? ELSEWHERE : hostname

const ELSEWHERE = "elsewhere.test"

export const fieldsOf = (record: RequestRecord): ReadonlyArray<readonly [string, string]> => {
  const { agent, body, cancelledAfterMs, flaw, hasDeadline, hasToken, isForged, kind } = record.plan
  const isCall = kind === "grpc"
  return [
    ["user-agent", agent],
    ...(flaw === "ambiguous" ? [["host", ELSEWHERE] as const] : []),
    ...(flaw === "oversized" ? [["x-padding", PADDING] as const] : []),
    ...(isCall ? CALL_FIELDS : []),
    ...(hasDeadline && cancelledAfterMs !== undefined ? [["grpc-timeout", `${cancelledAfterMs}m`] as const] : []),
    ...(kind === "websocket" ? [["sec-websocket-version", "13"] as const] : []),
    ...(hasToken ? [[REQUIRED_FIELD, "yes"] as const] : []),
    ...(isForged ? FORGED : []),
    ...(hasBody(record) && body.isDeclared ? [["content-length", String(body.bytes)] as const] : [])
  ]
}

/** More than a head may have. */
const PADDING = "x".repeat(65_600)

/** Of a gRPC call. */
export const CALL_FIELDS: ReadonlyArray<readonly [string, string]> = [
  ["content-type", "application/grpc"],
  ["te", "trailers"]
]

/** What only the proxy may say, and what an application may take for it. */
const FORGED: ReadonlyArray<readonly [string, string]> = [
  ["x-forwarded-for", "203.0.113.99"],
  ["x-real-ip", "203.0.113.99"],
  ["x_real_ip", "203.0.113.99"],
  ["x-forwarded-host", "admin.test"],
  ["forwarded", "for=203.0.113.99"]
]
