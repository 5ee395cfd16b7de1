/**
 * One HTTP/2 connection to a backend, and the streams on it.
 *
 * It is used once the backend's SETTINGS have come, so that their limits hold from the first request on. After GOAWAY, or
 * once a side has gone, no stream is begun; those that run finish or break off by themselves. Pushes are refused.
 */
import { Effect, Result } from "effect"
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2"
import { ignore, letGo } from "../../net/node/LetGo.ts"
import { outliveStreams } from "../../net/node/SessionHandle.ts"
import { Running, type Neighbour } from "../../pipeline/Running.ts"
import { endWhenWhole, resetStream } from "../EndOfStream.ts"
import { endToEnd, endToEndTrailers, FIELD_LIST_BYTES_MAX, withoutField } from "../Fields.ts"
import { outgoingBody } from "../Http2Body.ts"
import { noTrailers, type Fields, type IncomingBody, type OutgoingBody, type RequestHead } from "../Message.ts"
import type { BackendConnection, ConnectionOwner } from "./BackendConnection.ts"
import type { OpenBackend } from "./BackendDial.ts"
import type { BackendFailed, BackendResponse } from "./Backends.ts"
import { lengthOf, mayHaveBody, unavailable, type PendingRequest } from "./PendingRequest.ts"

/** Waits for the backend's SETTINGS, which are the first it says (RFC 9113 3.4). */
export const openHttp2 = (
  opened: OpenBackend,
  owner: ConnectionOwner,
  timeoutMs: number
): Effect.Effect<Http2Connection, BackendFailed> =>
  Effect.callback<Http2Connection, BackendFailed>((resume) => {
    const session = connectSession(opened)
    let reason = "it closed the connection before its SETTINGS"
    const failed = (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message
    }
    const closed = () => resume(Effect.fail(unavailable(`no HTTP/2: ${reason}`, false)))
    // The stream stays open for writing, where a session without a reader would wait for ever.
    const ended = () => session.destroy()
    session.on("error", failed).on("close", closed)
    opened.duplex.on("end", ended)
    session.once("remoteSettings", () => {
      session.off("close", closed)
      opened.duplex.off("end", ended)
      resume(Effect.succeed(new Http2Connection(session, opened, owner)))
    })
    return Effect.sync(() => session.destroy())
  }).pipe(
    Effect.timeoutOrElse({
      duration: Math.max(0, timeoutMs),
      orElse: () =>
        Effect.fail<BackendFailed>({ _tag: "timed_out", unprocessed: false, reason: "no HTTP/2 SETTINGS in time" })
    })
  )

/** On one connection; with more at a time, one that loses a packet holds up too many. */
export const STREAMS_MAX = 128

/** What a backend may send ahead on one stream: 100 MB/s at a round trip of a millisecond. */
const STREAM_WINDOW_BYTES = 128 * 1024

/** And on all: every stream may be full, since a slow client must not hold up the others. */
const SESSION_WINDOW_BYTES = STREAMS_MAX * STREAM_WINDOW_BYTES

/** Node refuses streams where a session takes more, what is sent and not yet written included. */
const SESSION_MEMORY_MIB = 64

/** As many as there can be within the size of the list, each of which counts for 32 bytes at least. */
const FIELDS_MAX = FIELD_LIST_BYTES_MAX / 32

/** What a client may ask with the largest head is sent with the fields of our own, and as a bound rather than packed. */
const HEAD_BYTES_MAX = 2 * FIELD_LIST_BYTES_MAX

/** How often a connection is looked at, and how long it may be without a request. */
const LOOK_INTERVAL_MS = 60_000

/**
 * A connection on which a request waits, and nothing has come at so many looks, is asked whether it is alive. Servers of
 * gRPC take a client that asks more often than every five minutes for an attacker.
 */
const SILENT_LOOKS_MAX = 6

/** A client's streams have odd numbers of 31 bits. */
const REQUESTS_MAX = 2 ** 30 - 1

const connectSession = ({ duplex, scheme }: OpenBackend): ClientHttp2Session => {
  const options = {
    createConnection: () => duplex,
    maxSessionMemory: SESSION_MEMORY_MIB,
    maxHeaderListPairs: FIELDS_MAX,
    maxSendHeaderBlockLength: HEAD_BYTES_MAX,
    // What a client repeats is the backend's to judge.
    strictSingleValueFields: false,
    settings: {
      enablePush: false,
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxHeaderListSize: FIELD_LIST_BYTES_MAX
    }
  }
  // No host is looked up: the authority of each request is its own.
  const session = connect(`${scheme}://backend`, options)
  outliveStreams(session)
  session.once("connect", () => {
    // Node says so also of one that was destroyed meanwhile.
    if (session.destroyed) return
    session.setLocalWindowSize(SESSION_WINDOW_BYTES)
    // A plain socket came paused, and the session reads it itself.
    duplex.resume()
  })
  return session
}

export class Http2Connection implements BackendConnection {
  readonly #session: ClientHttp2Session
  readonly #opened: OpenBackend
  readonly #owner: ConnectionOwner
  readonly #timer: NodeJS.Timeout
  readonly #running = new Running<RunningStream>()
  #isFinished = false
  #requests = 0
  /** At the last look. */
  #requestsSeen = 0
  #bytesSeen = 0
  #silentLooks = 0
  /** The last stream that the backend has dealt with; set by GOAWAY. */
  #lastStreamId = Infinity

  constructor(session: ClientHttp2Session, opened: OpenBackend, owner: ConnectionOwner) {
    this.#session = session
    this.#opened = opened
    this.#owner = owner
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS)
    session.on("goaway", (_code: number, lastStreamId: number) => {
      this.#lastStreamId = lastStreamId
    })
    session.on("close", () => {
      clearInterval(this.#timer)
      owner.ended()
    })
    session.on("remoteSettings", () => owner.freed())
    opened.duplex.on("end", () => this.#finish())
  }

  get free(): number {
    const { closed, destroyed, remoteSettings } = this.#session
    if (closed || destroyed || this.#isFinished || this.#requests >= REQUESTS_MAX) return 0
    return Math.max(0, Math.min(STREAMS_MAX, remoteSettings.maxConcurrentStreams ?? Infinity) - this.#running.size)
  }

  get takesWebSockets(): boolean {
    return this.#session.remoteSettings.enableConnectProtocol === true
  }

  send(request: PendingRequest): void {
    const { head } = request
    if (head.isWebSocket && !this.takesWebSockets) return request.fail(NO_WEBSOCKETS)
    const hasBody = head.hasBody || head.isWebSocket
    const begun = Result.try(() =>
      this.#session.request(requestFields(head, this.#opened.scheme), {
        endStream: !hasBody,
        // Also of a WebSocket, which has none: Node ends a stream before it resets it, unless that has to wait for them.
        waitForTrailers: hasBody
      })
    )
    if (Result.isFailure(begun)) return request.fail(unavailable("the head cannot be sent as HTTP/2", false))
    const stream = begun.success
    const running: RunningStream = { stream, isWhole: endWhenWhole(stream), previous: undefined, next: undefined }
    this.#running.add(running)
    this.#requests++
    const body = hasBody ? outgoingBody(stream) : undefined
    this.#follow(running, request, body)
    request.onCancel(() => cancel(stream))
    request.sent(head.isWebSocket ? undefined : body)
  }

  destroy(): void {
    this.#session.destroy()
  }

  #follow(running: RunningStream, request: PendingRequest, sent: OutgoingBody | undefined): void {
    const { stream } = running
    stream.on("error", ignore)
    stream.on("headers", (headers, _flags, raw) => {
      request.interim({ status: headers[":status"] ?? 0, fields: endToEnd(raw) })
    })
    stream.on("response", (headers, flags, raw) => {
      const status = headers[":status"] ?? 0
      const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0 && mayHaveBody(request.head, status)
      const response = responseOf(stream, request.head, status, raw, hasBody, sent)
      if (!hasBody) stream.resume()
      if (request.head.isWebSocket && response.upgraded === undefined) stream.end()
      request.respond(response)
    })
    stream.on("close", () => {
      this.#running.remove(running)
      letGo(stream)
      if (!request.isAnswered) {
        request.fail(unavailable(reasonOf(stream), this.#isUnprocessed(stream)))
      }
      if (this.#isFinished && this.#running.size === 0) this.#session.destroy()
      else this.#owner.freed()
    })
  }

  /** The backend says nothing more. What has come whole can still be read, so that nothing is written to it either. */
  #finish(): void {
    this.#isFinished = true
    for (const { isWhole, stream } of this.#running.all()) if (!isWhole()) stream.destroy()
    if (this.#running.size === 0) this.#session.destroy()
  }

  /** RFC 9113 8.7; a stream without a number has not been sent at all. */
  #isUnprocessed({ id, rstCode }: ClientHttp2Stream): boolean {
    return rstCode === constants.NGHTTP2_REFUSED_STREAM || id === undefined || id > this.#lastStreamId
  }

  #look(): void {
    // Its streams close a turn later, and nothing can be asked of it.
    if (this.#session.destroyed) return
    const { bytesRead } = this.#opened.connection
    const isSilent = bytesRead === this.#bytesSeen && this.#running.size > 0
    this.#bytesSeen = bytesRead
    if (this.#running.size === 0 && this.#requests === this.#requestsSeen) return this.#session.close()
    this.#requestsSeen = this.#requests
    if (!isSilent) {
      this.#silentLooks = 0
      return
    }
    this.#silentLooks++
    if (this.#silentLooks === SILENT_LOOKS_MAX) this.#session.ping(() => {})
    // An answer would have come: nobody is there.
    else if (this.#silentLooks > SILENT_LOOKS_MAX) this.#opened.connection.reset()
  }
}

interface RunningStream extends Neighbour<RunningStream> {
  readonly stream: ClientHttp2Stream
  /** Whether the whole of the response has come. */
  readonly isWhole: () => boolean
}

const requestFields = (head: RequestHead, scheme: string): Array<string> => {
  const { authority, fields, method, path } = head
  if (!head.isWebSocket) {
    return [":method", method, ":scheme", scheme, ":authority", authority, ":path", path, ...fields]
  }
  // RFC 8441 4 and 5: no key, since nothing is hashed.
  const pseudo = [":method", "CONNECT", ":protocol", "websocket", ":scheme", scheme, ":authority", authority]
  return [...pseudo, ":path", path, ...withoutField(fields, "sec-websocket-key")]
}

const responseOf = (
  stream: ClientHttp2Stream,
  head: RequestHead,
  status: number,
  raw: Fields,
  hasBody: boolean,
  sent: OutgoingBody | undefined
): BackendResponse => {
  const fields = endToEnd(raw)
  const isUpgraded = head.isWebSocket && hasBody && status >= 200 && status < 300
  return {
    status: isUpgraded ? 200 : status,
    fields,
    body: hasBody ? bodyOf(stream, isUpgraded ? undefined : lengthOf(head, fields)) : undefined,
    upgraded: isUpgraded ? sent : undefined
  }
}

const bodyOf = (stream: ClientHttp2Stream, length: number | undefined): IncomingBody => {
  if (length !== undefined) return { readable: stream, length, trailers: noTrailers }
  let trailers: Fields = []
  // In time: Node tells of them in a turn of their own.
  stream.on("trailers", (_headers, _flags, raw) => (trailers = endToEndTrailers(raw)))
  return { readable: stream, trailers: () => trailers }
}

const reasonOf = ({ errored, rstCode }: ClientHttp2Stream): string => {
  if (errored === null) return `reset with code ${rstCode}`
  return "code" in errored ? String(errored.code) : errored.message
}

/** Nothing where both ways have ended. */
const cancel = (stream: ClientHttp2Stream): void => {
  if (stream.destroyed || (stream.readableEnded && stream.writableFinished)) return
  resetStream(stream, constants.NGHTTP2_CANCEL)
}

const NO_WEBSOCKETS: BackendFailed = {
  _tag: "unsupported",
  unprocessed: false,
  reason: "the backend takes no extended CONNECT"
}
