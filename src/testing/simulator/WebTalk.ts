/** What a client does on a connection that is there: asks what it has planned, on either version of HTTP, and leaves. */
import { Result } from "effect"
import { Agent, request as startHttp1 } from "node:http"
import { connect as startHttp2, constants, type ClientHttp2Session } from "node:http2"
import type { Duplex } from "node:stream"
import { endWhenWhole } from "../../l7/EndOfStream.ts"
import type { ClientPlan } from "./ClientPlan.ts"
import type { Journal } from "./Journal.ts"
import { authorityOf, begin, bodyOf, cancelInTime, fieldsOf, finish, hasBody } from "./WebAsking.ts"
import { pipeline } from "./WebPipelining.ts"
import { pathOf, type WebPlan } from "./WebPlan.ts"
import { BACKEND_FIELD, REQUEST_TRAILER, trailerName, type RequestRecord } from "./WebRecords.ts"
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
  const session = startHttp2(`https://${client.hostname}`, {
    createConnection: () => duplex,
    maxSendHeaderBlockLength: HEAD_BYTES_MAX
  })
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
  const isWebSocket = plan.kind === "websocket"
  if (isWebSocket && session.remoteSettings.enableConnectProtocol !== true) return over()
  const headers = Object.fromEntries<string>([
    ...(isWebSocket ? EXTENDED_CONNECT : [[":method", plan.method] as const]),
    [":path", pathOf(record.client, record.index)],
    [":authority", authorityOf(client, record)],
    ...fieldsOf(record)
  ])
  // Without that Node ends the body of a request that is cancelled.
  const isOpen = hasBody(record) || isWebSocket
  const options = { endStream: !isOpen, waitForTrailers: isOpen }
  const begun = Result.try(() => session.request(headers, options))
  // The proxy has said that it takes no more.
  if (Result.isFailure(begun)) return over()
  const stream = begun.success
  const isWhole = endWhenWhole(stream)
  begin(record, journal)
  stream.on("error", () => {})
  const say = () => writeBody(stream, bodyOf(record), plan.body, after, () => stream.end())
  stream.on("response", (answer) => {
    record.statuses.push(answer[":status"] ?? 0)
    record.isBackends = answer[BACKEND_FIELD] !== undefined
    record.trailer = String(answer[trailerName(plan)] ?? "")
    if (!isWebSocket) return
    if (answer[":status"] === 200) say()
    else stream.end()
  })
  stream.on("trailers", (trailers) => (record.trailer = String(trailers[trailerName(plan)] ?? "")))
  stream.on("wantTrailers", () => {
    stream.sendTrailers(plan.body.trailer === "" ? {} : { [REQUEST_TRAILER]: plan.body.trailer })
  })
  // Node keeps one that was reset while it is read slowly, and with it the connection.
  stream.on("aborted", () => after(RESET_STREAM_MS, () => stream.destroy()))
  stream.on("close", () => {
    finish(record, isWhole() && stream.readableEnded, journal)
    over()
  })
  readBody(stream, record.body, plan.readPauseMs, after)
  if (hasBody(record)) say()
  cancelInTime(record, journal, after, () => stream.close(constants.NGHTTP2_CANCEL))
}

/** More than a proxy takes. */
const HEAD_BYTES_MAX = 100_000

/** RFC 8441 4. */
const EXTENDED_CONNECT: ReadonlyArray<readonly [string, string]> = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "https"]
]

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
    if (record === undefined || (web.isPipelined && index > 0)) {
      if (web.leaving === "resetting") talk.reset()
      // Node destroys what it has no further use for, where that is ended already.
      else if (web.leaving === "closing") after(1, () => duplex.end())
      else if (web.leaving === "dawdling" && duplex.writable) dawdle(talk)
      return
    }
    if (web.isPipelined) return after(record.plan.afterMs, () => pipeline(talk, () => askNext(1)))
    after(record.plan.afterMs, () => askHttp1(talk, agent, record, () => askNext(index + 1)))
  }
  askNext(0)
}

const dawdle = ({ client, duplex, journal }: Talk): void => {
  const told: Array<Uint8Array> = []
  duplex.on("data", (bytes: Uint8Array) => told.push(bytes))
  duplex.on("close", () => {
    const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(Buffer.concat(told).toString("latin1")) ?? []
    journal.note({ _tag: "Dawdled", client: client.number, status: status === undefined ? undefined : Number(status) })
  })
  duplex.write("GET /late HTTP/1.1\r\nHost: ")
}

const askHttp1 = ({ after, client, duplex, journal }: Talk, agent: Agent, record: RequestRecord, over: () => void) => {
  if (duplex.destroyed || duplex.readableEnded || !duplex.writable) return over()
  const { method, readPauseMs } = record.plan
  const request = startHttp1({
    agent,
    method,
    path: pathOf(record.client, record.index),
    headers: ["host", authorityOf(client, record), ...upgradeOf(record), ...fieldsOf(record).flat()],
    setHost: false
  })
  let isRead = false
  let isUpgraded = false
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
      record.trailer = incoming.trailers[trailerName(record.plan)] ?? ""
    })
    readBody(incoming, record.body, readPauseMs, after)
  })
  request.on("upgrade", (incoming, socket, first) => {
    isUpgraded = true
    record.isBackends = incoming.headers[BACKEND_FIELD] !== undefined
    if (first.length > 0) socket.unshift(first)
    socket.on("end", () => (isRead = record.cancelledMs === undefined))
    socket.on("close", () => {
      finish(record, isRead, journal)
      over()
    })
    record.statuses.push(incoming.statusCode ?? 0)
    readBody(socket, record.body, readPauseMs, after)
    writeBody(socket, bodyOf(record), record.plan.body, after, () => socket.end())
  })
  request.on("close", () => {
    if (isUpgraded) return
    finish(record, isWhole(), journal)
    over()
  })
  const { body } = record.plan
  const end = (): void => {
    if (body.trailer !== "" && !body.isDeclared) request.addTrailers({ [REQUEST_TRAILER]: body.trailer })
    request.end()
  }
  if (hasBody(record)) writeBody(request, bodyOf(record), body, after, end)
  else request.end()
  cancelInTime(record, journal, after, () => {
    request.destroy()
    if (isUpgraded) duplex.destroy()
  })
}

/** RFC 6455 4.1. Its key need not be hard to guess here. */
const upgradeOf = ({ plan: { kind } }: RequestRecord): ReadonlyArray<string> =>
  kind === "websocket"
    ? ["connection", "Upgrade", "upgrade", "websocket", "sec-websocket-key", Buffer.alloc(16, 7).toString("base64")]
    : []

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
