/** What a client does on a connection that is there: asks what it has planned, on either version of HTTP, and leaves. */
import { Result } from "effect"
import { Agent, request as startHttp1 } from "node:http"
import { connect as startHttp2, constants, type ClientHttp2Session } from "node:http2"
import type { Duplex } from "node:stream"
import { endWhenWhole } from "../../l7/EndOfStream.ts"
import type { ClientPlan } from "./ClientPlan.ts"
import type { Journal } from "./Journal.ts"
import { pathOf, requestBody, type WebPlan } from "./WebPlan.ts"
import { BACKEND_FIELD, TRAILER, type RequestRecord } from "./WebRecords.ts"
import { REQUIRED_FIELD } from "./WebSite.ts"
import { readBody, writeBody, type After } from "./WebStreams.ts"

export interface Talk {
  readonly client: ClientPlan
  readonly web: WebPlan
  readonly duplex: Duplex
  readonly records: ReadonlyArray<RequestRecord>
  readonly journal: Journal
  readonly after: After
  /** Ends the connection without a word. */
  readonly reset: () => void
}

/** All requests at their time, whatever the others do. */
export const talkHttp2 = (talk: Talk): void => {
  const { after, client, duplex, records, web } = talk
  const session = startHttp2(`https://${client.hostname}`, { createConnection: () => duplex })
  session.on("error", () => {})
  let running = records.length
  const over = (): void => {
    if (--running > 0) return
    if (web.leaving === "resetting") talk.reset()
    else if (web.leaving === "closing") session.close()
  }
  for (const record of records) after(record.plan.afterMs, () => askHttp2(talk, session, record, over))
}

const askHttp2 = (
  { after, client, journal }: Talk,
  session: ClientHttp2Session,
  record: RequestRecord,
  over: () => void
): void => {
  const { plan } = record
  const headers = Object.fromEntries([
    [":method", plan.method],
    [":path", pathOf(record.client, record.index)],
    [":authority", authorityOf(client, record)],
    ...fieldsOf(record)
  ])
  // Without that Node ends the body of a request that is cancelled.
  const options = { endStream: !hasBody(record), waitForTrailers: hasBody(record) }
  const begun = Result.try(() => session.request(headers, options))
  // The proxy has said that it takes no more.
  if (Result.isFailure(begun)) return over()
  const stream = begun.success
  const isWhole = endWhenWhole(stream)
  begin(record, journal)
  stream.on("error", () => {})
  stream.on("response", (answer) => {
    record.statuses.push(answer[":status"] ?? 0)
    record.isBackends = answer[BACKEND_FIELD] !== undefined
  })
  stream.on("trailers", (trailers) => (record.trailer = String(trailers[TRAILER] ?? "")))
  stream.on("wantTrailers", () => stream.sendTrailers(plan.body.trailer === "" ? {} : { [TRAILER]: plan.body.trailer }))
  // Node keeps one that was reset while it is read slowly, and with it the connection.
  stream.on("aborted", () => after(RESET_STREAM_MS, () => stream.destroy()))
  stream.on("close", () => {
    finish(record, isWhole() && stream.readableEnded, journal)
    over()
  })
  readBody(stream, record.body, plan.readPauseMs, after)
  if (hasBody(record)) writeBody(stream, bodyOf(record), plan.body, after, () => stream.end())
  cancelInTime(record, journal, after, () => stream.close(constants.NGHTTP2_CANCEL))
}

/** Enough to read what has come before the reset. */
const RESET_STREAM_MS = 100

/** One after the other. */
export const talkHttp1 = (talk: Talk): void => {
  const { after, duplex, records, web } = talk
  const agent = new OneSocketAgent(duplex)
  duplex.on("end", () => duplex.end())
  const askNext = (index: number): void => {
    const record = records[index]
    duplex.resume()
    if (record === undefined) {
      if (web.leaving === "resetting") talk.reset()
      // Node destroys what it has no further use for, where that is ended already.
      else if (web.leaving === "closing") after(1, () => duplex.end())
      return
    }
    after(record.plan.afterMs, () => askHttp1(talk, agent, record, () => askNext(index + 1)))
  }
  askNext(0)
}

const askHttp1 = ({ after, client, duplex, journal }: Talk, agent: Agent, record: RequestRecord, over: () => void) => {
  if (duplex.destroyed || duplex.readableEnded || !duplex.writable) return over()
  const { method, readPauseMs } = record.plan
  const request = startHttp1({
    agent,
    method,
    path: pathOf(record.client, record.index),
    headers: ["host", authorityOf(client, record), ...fieldsOf(record).flat()],
    setHost: false
  })
  let isRead = false
  let isWhole = (): boolean => false
  begin(record, journal)
  request.on("error", () => {})
  request.on("response", (incoming) => {
    isWhole = () => incoming.complete && isRead
    record.statuses.push(incoming.statusCode ?? 0)
    record.isBackends = incoming.headers[BACKEND_FIELD] !== undefined
    incoming.on("error", () => {})
    incoming.on("end", () => {
      isRead = record.cancelledMs === undefined
      record.trailer = incoming.trailers[TRAILER] ?? ""
    })
    readBody(incoming, record.body, readPauseMs, after)
  })
  request.on("close", () => {
    finish(record, isWhole(), journal)
    over()
  })
  const { body } = record.plan
  const end = (): void => {
    if (body.trailer !== "" && !body.isDeclared) request.addTrailers({ [TRAILER]: body.trailer })
    request.end()
  }
  if (hasBody(record)) writeBody(request, bodyOf(record), body, after, end)
  else request.end()
  cancelInTime(record, journal, after, () => request.destroy())
}

/** Node's pool, of the one stream that there is, which it neither watches nor closes. */
class OneSocketAgent extends Agent {
  readonly #duplex: Duplex

  constructor(duplex: Duplex) {
    super({ keepAlive: true, maxSockets: 1 })
    this.#duplex = duplex
  }

  override createConnection(): Duplex {
    return this.#duplex
  }

  override keepSocketAlive(): boolean {
    return true
  }

  override reuseSocket(): void {}
}

const begin = (record: RequestRecord, journal: Journal): void => {
  journal.note({ _tag: "Requested", client: record.client, index: record.index })
  record.sentAt = journal.events.length
}

const finish = (record: RequestRecord, isWhole: boolean, journal: Journal): void => {
  record.end = isWhole && record.statuses.length > 0 ? "whole" : "cut"
  const { client, end, index, statuses } = record
  const bytes = record.body.reduce((sum, { length }) => sum + length, 0)
  journal.note({ _tag: "Responded", client, index, status: statuses[0], end, bytes })
  record.doneAt = journal.events.length
}

const cancelInTime = (record: RequestRecord, journal: Journal, after: After, cancel: () => void): void => {
  if (record.plan.cancelledAfterMs === undefined) return
  after(record.plan.cancelledAfterMs, () => {
    if (record.end !== undefined) return
    record.cancelledMs = journal.now()
    cancel()
  })
}

const hasBody = ({ plan: { method } }: RequestRecord): boolean => method === "POST" || method === "PUT"

const bodyOf = (record: RequestRecord): Uint8Array => requestBody(record.client, record.index, record.plan)

const authorityOf = ({ hostname }: ClientPlan, { plan }: RequestRecord): string =>
  plan.isMisdirected ? "elsewhere.test" : hostname

const fieldsOf = (record: RequestRecord): ReadonlyArray<readonly [string, string]> => {
  const { agent, body, hasToken, isForged } = record.plan
  return [
    ["user-agent", agent],
    ...(hasToken ? [[REQUIRED_FIELD, "yes"] as const] : []),
    ...(isForged ? FORGED : []),
    ...(hasBody(record) && body.isDeclared ? [["content-length", String(body.bytes)] as const] : [])
  ]
}

/** What only the proxy may say, and what an application may take for it. */
const FORGED: ReadonlyArray<readonly [string, string]> = [
  ["x-forwarded-for", "203.0.113.99"],
  ["x-real-ip", "203.0.113.99"],
  ["x_real_ip", "203.0.113.99"],
  ["x-forwarded-host", "admin.test"],
  ["forwarded", "for=203.0.113.99"]
]
