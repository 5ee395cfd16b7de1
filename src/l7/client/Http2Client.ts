/**
 * HTTP/2 to a client (RFC 9113), on Node's library: what its session says becomes requests, and their answers frames.
 *
 * The library keeps the limits that it announces, and cuts off who floods it with CONTINUATION or empty frames. What it
 * lets pass is counted here (`FloodGuard`), and who overdraws that is told ENHANCE_YOUR_CALM. A connection finishes in
 * one step: GOAWAY names the last request that was taken, so that its client asks elsewhere for those behind it. Two steps
 * (RFC 9113 6.8) would leave them waiting, since the library takes nothing new once it has announced the first.
 */
import { Result } from "effect"
import {
  constants,
  performServerHandshake,
  type Http2Stream,
  type ServerHttp2Session,
  type ServerHttp2Stream
} from "node:http2"
import { ignore, letGo } from "../../net/node/LetGo.ts"
import { outliveStreams } from "../../net/node/SessionHandle.ts"
import type { Hostname } from "../../snapshot/Hostname.ts"
import type { BackendPool } from "../backend/Backends.ts"
import type { Exchange, Follows } from "../Exchange.ts"
import { endWhenWhole, resetStream } from "../EndOfStream.ts"
import { endToEndTrailers, FIELD_LIST_BYTES_MAX } from "../Fields.ts"
import { FloodGuard, type Flood } from "../FloodGuard.ts"
import { grouped, outgoingBody } from "../Http2Body.ts"
import { readHttp2Request } from "../Http2Request.ts"
import type { Fields, IncomingBody, OutgoingBody, ResponseHead } from "../Message.ts"
import type { ClientConnection, Protocol } from "./ClientConnection.ts"

/** Requests that one connection may have running. */
export const STREAMS_MAX = 128

/**
 * What a client may send ahead of a backend on one stream, and so what may wait here for each: 6 MB/s at a round trip of
 * 20 ms.
 */
const STREAM_WINDOW_BYTES = 128 * 1024

/**
 * And on all of them. Node gives the bytes of a connection back as they come, read or not, so that this bounds the speed
 * alone; what may wait here is so much all the same, by the streams' own windows: 16 MiB.
 */
const SESSION_WINDOW_BYTES = STREAMS_MAX * STREAM_WINDOW_BYTES

/** Node refuses streams where a session takes more, what is sent and not yet written included. */
const SESSION_MEMORY_MIB = 64

/**
 * What the library takes and announces: a header list beyond the limit has still to be read, to be answered 431. It
 * resets streams that have more than this.
 */
const READ_FIELD_BYTES_MAX = 2 * FIELD_LIST_BYTES_MAX
const FIELD_PAIRS_MAX = Math.ceil(READ_FIELD_BYTES_MAX / 32)

/** Response heads are the backend's, within its own limit; beyond this the library would break the stream off. */
const SENT_FIELD_BYTES_MAX = 2 * FIELD_LIST_BYTES_MAX

const SETTINGS = {
  enablePush: false,
  initialWindowSize: STREAM_WINDOW_BYTES,
  maxConcurrentStreams: STREAMS_MAX,
  maxHeaderListSize: READ_FIELD_BYTES_MAX
}

export class Http2Client implements Protocol {
  readonly #connection: ClientConnection
  readonly #session: ServerHttp2Session
  readonly #server: Hostname
  readonly #guard: FloodGuard
  /** For flooding us. */
  #isCut = false
  #hasServed = false

  constructor(connection: ClientConnection, pool: BackendPool, server: Hostname) {
    this.#connection = connection
    this.#server = server
    this.#guard = new FloodGuard(connection.grounds.now())
    const { takesWebSockets } = pool
    const session = performServerHandshake(connection.duplex, {
      maxHeaderListPairs: FIELD_PAIRS_MAX,
      maxSendHeaderBlockLength: SENT_FIELD_BYTES_MAX,
      maxSessionMemory: SESSION_MEMORY_MIB,
      // What a backend repeats is the client's to judge.
      strictSingleValueFields: false,
      // Counted by the guard, which tells clients that cancel a lot from those that attack.
      streamResetBurst: Number.MAX_SAFE_INTEGER,
      streamResetRate: Number.MAX_SAFE_INTEGER,
      settings: takesWebSockets ? { ...SETTINGS, enableConnectProtocol: true } : SETTINGS
    })
    this.#session = session
    outliveStreams(session)
    session.setLocalWindowSize(SESSION_WINDOW_BYTES)
    session.on("error", () => {})
    session.on("stream", (stream, _headers, flags, raw) => this.#serve(stream, flags, raw))
    session.on("ping", () => this.#judge(this.#guard.ping(connection.grounds.now(), connection.socket.bytesWritten)))
    session.on("remoteSettings", () => this.#judge(this.#guard.settings(connection.grounds.now())))
    if (!takesWebSockets) {
      pool.onWebSockets(() => {
        if (!session.destroyed) session.settings({ ...SETTINGS, enableConnectProtocol: true })
      })
    }
  }

  /**
   * A client's first request may be on its way: it is here before the answer to a PING, or by the deadline that every
   * first request has.
   */
  finish(): void {
    if (this.#session.destroyed) return
    if (this.#hasServed) this.#goAway()
    else this.#session.ping(() => this.#goAway())
  }

  close(): void {
    this.#session.destroy()
  }

  refuseLate(): void {
    this.#goAway()
  }

  /** What a session has yet to send would be waited for, though a client that was reset takes nothing. */
  clientEnded(): void {
    this.#session.destroy()
    this.#connection.duplex.destroy()
  }

  #goAway(): void {
    if (this.#session.closed || this.#session.destroyed) return
    this.#session.close()
    if (this.#connection.running === 0) this.#connection.closing("done")
  }

  #serve(stream: ServerHttp2Stream, flags: number, raw: Fields): void {
    stream.on("error", ignore)
    const exchange = new Http2Exchange(stream, flags, raw, this.#server, this.#connection, this.#guard)
    if (stream.destroyed || stream.closed || this.#isCut) return this.#abandon(exchange)
    this.#hasServed = true
    // With the others that came together. A client need not answer the PING.
    if (this.#connection.isRetired) setImmediate(() => this.#goAway())
    const request = this.#connection.run(exchange, () => this.#over(exchange))
    stream.on("close", () => {
      request.end("gone")
      this.#abandon(exchange)
      letGo(stream)
    })
  }

  #abandon({ isAnswered, isAborted }: Http2Exchange): void {
    if (!isAnswered && !isAborted) this.#judge(this.#guard.abandoned(this.#connection.grounds.now()))
  }

  #over(exchange: Http2Exchange): void {
    exchange.finish()
    if (this.#session.closed && this.#connection.running === 0) this.#connection.closing("done")
  }

  #judge(flood: Flood | undefined): void {
    if (flood === undefined || this.#isCut || this.#session.destroyed) return
    this.#isCut = true
    this.#connection.closing("reset")
    this.#session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    // With what is on its way out already the library would drop that.
    setImmediate(() => this.#session.destroy(new Error(`too many ${flood}`), constants.NGHTTP2_ENHANCE_YOUR_CALM))
  }
}

class Http2Exchange implements Exchange {
  readonly request: Exchange["request"]
  readonly method: string
  readonly target: string
  readonly body: IncomingBody | undefined
  readonly acceptedStatus = 200
  isAnswered = false
  /** We broke it off. */
  isAborted = false
  /** The last frame of the response waits for them, be there any or none. */
  #hasTrailers = false
  readonly #stream: ServerHttp2Stream
  readonly #connection: ClientConnection
  readonly #guard: FloodGuard

  constructor(
    stream: ServerHttp2Stream,
    flags: number,
    raw: Fields,
    server: Hostname,
    connection: ClientConnection,
    guard: FloodGuard
  ) {
    const isWhole = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
    this.#stream = stream
    this.#connection = connection
    this.#guard = guard
    this.request = readHttp2Request(raw, isWhole, server)
    this.method = pseudoHeader(raw, ":method")
    this.target = pseudoHeader(raw, ":path")
    this.body = isWhole ? undefined : incomingBody(stream)
  }

  interim({ fields, status }: ResponseHead): void {
    const stream = this.#stream
    if (stream.destroyed || stream.closed || stream.headersSent) return
    // One that cannot be sent is nothing that the client needs.
    Result.try(() => stream.additionalHeaders({ ":status": status, ...grouped(fields) }))
  }

  respond({ fields, status }: ResponseHead, follows: Follows): OutgoingBody | undefined {
    const stream = this.#stream
    // Its end is on its way to the request, and nothing can be sent.
    if (stream.destroyed || stream.closed)
      return follows === "nothing" ? undefined : { writable: stream, end: () => {} }
    const endStream = follows === "nothing"
    // Also of a WebSocket, which has none: Node ends a stream before it resets it, unless that has to wait for them.
    const waitForTrailers = follows === "body" || follows === "websocket"
    stream.respond([":status", String(status), ...fields], { endStream, waitForTrailers })
    this.isAnswered = true
    this.#hasTrailers = waitForTrailers
    this.#guard.answered()
    if (endStream) return undefined
    return waitForTrailers ? outgoingBody(stream) : { writable: stream, end: () => void stream.end() }
  }

  abort(): void {
    this.isAborted = true
    resetStream(this.#stream, constants.NGHTTP2_INTERNAL_ERROR)
  }

  /** The response is over: a client that has not sent all of its request need not go on (RFC 9113 8.1). */
  finish(): void {
    const stream = this.#stream
    if (this.body === undefined || stream.readableEnded || stream.destroyed) return
    stream.resume()
    const stop = () => setImmediate(() => this.#stop())
    // They are asked for once all that is before them has gone.
    if (this.#hasTrailers && stream.sentTrailers === undefined) stream.once("wantTrailers", stop)
    else stop()
  }

  /**
   * Tells the client to stop, once END_STREAM has gone out. Before that Node might reset the stream ahead of the
   * response's end, or destroy it without a reset, and then write empty frames of it until there is no memory left.
   */
  #stop(lookMs = END_LOOK_MS): void {
    const stream = this.#stream
    if (stream.destroyed || stream.closed || stream.readableEnded) return
    if (stream.state.localClose === 1) stream.close(constants.NGHTTP2_NO_ERROR)
    else this.#connection.after(lookMs, () => this.#stop(Math.min(2 * lookMs, END_LOOK_MS_MAX)))
  }
}

/** A response whose end waits for its client to take it is looked at first after so long. */
const END_LOOK_MS = 20

/** And then less and less often, down to this: a client that takes nothing can have a response wait on each stream. */
const END_LOOK_MS_MAX = 1000

const incomingBody = (stream: Http2Stream): IncomingBody => {
  let trailers: Fields = []
  endWhenWhole(stream)
  stream.on("trailers", (_headers, _flags, raw) => (trailers = endToEndTrailers(raw)))
  return { readable: stream, trailers: () => trailers }
}

/** For the log; which of repeated ones does not matter, they are refused. */
const pseudoHeader = (raw: Fields, name: string): string => {
  for (let i = 0; i + 1 < raw.length; i += 2) if (raw[i] === name) return raw[i + 1]!
  return ""
}
