/**
 * What a backend gets of a request is the beginning of what its client has sent, and all of it where the backend is told
 * so. It is asked again only where it has said that it did nothing, is told who its client is by the proxy alone, and when
 * nobody waits for it any more.
 */
import type { Fields } from "../../../l7/Message.ts"
import { concat, startsWith } from "../../Bytes.ts"
import type { ClientPlan } from "../ClientPlan.ts"
import { CALL_FIELDS } from "../WebAsking.ts"
import { isAccepted, requestBody, type RequestPlan } from "../WebPlan.ts"
import type { RequestRecord } from "../WebRecords.ts"
import type { WebBackendPlan } from "../WebSite.ts"
import { isOf } from "./Bytes.ts"
import { isEndAmbiguous, type RequestCircumstances } from "./RequestFates.ts"

export const checkServed = (around: RequestCircumstances): ReadonlyArray<string> => {
  const { request, served } = around
  const { plan } = around.conversation.client
  const problems = [...checkCancelled(around)]
  if (served.filter(({ isRefused }) => !isRefused).length > 1) problems.push("has been sent more than once")
  // Nothing is said to who has not accepted.
  const isOpen = request.plan.kind !== "websocket" || isAccepted(request.plan)
  const sent = isOpen ? requestBody(request.client, request.index, request.plan) : new Uint8Array(0)
  const { body: planned } = request.plan
  for (const { backend, body, end, fields, header, method, trailer } of served) {
    const bytes = concat(...body)
    if (!startsWith(sent, bytes)) problems.push("has another body for its backend")
    if (end === "whole" && bytes.length < sent.length) problems.push("is whole for its backend, and its body is not")
    const isOwed = end === "whole" && sent.length > 0 && !planned.isDeclared
    if (end !== "whole" && request.end === "whole" && isReadFirst(request) && !isEndAmbiguous(around))
      problems.push("is not whole for its backend")
    if ((isOwed || trailer !== "") && trailer !== planned.trailer) problems.push("has another trailer for its backend")
    if (method !== methodOf(request.plan, backend)) problems.push("has another method for its backend")
    if (header.length > 0 && !isOf(header, plan)) problems.push("comes from another than the PROXY header names")
    problems.push(...checkFields(plan, request.plan, fields))
  }
  return problems
}

/** A WebSocket is asked for by extended CONNECT on HTTP/2 (RFC 8441 4). */
const methodOf = ({ kind, method }: RequestPlan, { protocol }: WebBackendPlan): string =>
  kind === "websocket" && protocol === "h2" ? "CONNECT" : method

/** The backend answers when it has all, the end included. */
const isReadFirst = ({ isBackends, plan }: RequestRecord): boolean =>
  isBackends && plan.answer.kind === "whole" && (plan.kind !== "websocket" || isAccepted(plan))

/** Nobody goes on with what nobody waits for. */
const checkCancelled = ({ request, served }: RequestCircumstances): ReadonlyArray<string> => {
  const { cancelledMs } = request
  if (cancelledMs === undefined) return []
  const isLate = served.some(({ goneMs }) => goneMs === undefined || goneMs > cancelledMs + CANCEL_MS)
  return isLate ? ["is cancelled, and its backend is not told in time"] : []
}

/** As long as what is on its way before may take, where little at a time is. */
const CANCEL_MS = 500

/** Of the client the proxy says, whatever that has said; what a call says about itself passes unchanged. */
const checkFields = (
  { hostname, source }: ClientPlan,
  { cancelledAfterMs, hasDeadline, kind }: RequestPlan,
  fields: Fields
): ReadonlyArray<string> => {
  const isTimed = hasDeadline && cancelledAfterMs !== undefined
  const expected = new Map([
    ...(kind === "grpc" ? CALL_FIELDS : []),
    ...(isTimed ? [["grpc-timeout", `${cancelledAfterMs}m`] as const] : []),
    ["x-forwarded-for", source.ip.text],
    ["x-real-ip", source.ip.text],
    ["x-forwarded-proto", "https"],
    ["x-forwarded-host", hostname]
  ])
  const told = new Map<string, Array<string>>()
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!.toLowerCase().replaceAll("_", "-")
    told.set(name, [...(told.get(name) ?? []), fields[i + 1]!])
  }
  const wrong = [...expected].filter(([name, value]) => told.get(name)?.join() !== value)
  return [
    ...wrong.map(([name]) => `tells its backend ${name}: ${told.get(name)?.join() ?? "nothing"}`),
    ...(told.has("forwarded") ? ["tells its backend what its client has forged"] : [])
  ]
}
