/**
 * The connections of the admin socket. Each speaks HTTP/1.1, or HTTP/2 with prior knowledge, as its first bytes say
 * (RFC 9113 3.4); one handler serves both. It may take a stream of HTTP/2 as it is: Node's request and response on top
 * of one are as much work again.
 *
 * Node keeps its own deadlines only for servers that listen themselves. Here, a connection without a request and a
 * request that does not become whole end after `idleTimeoutMs`; an answer may take as long as it takes.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import {
  constants,
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream
} from "node:http2"
import type { Socket } from "node:net"
import { outliveStreams } from "../net/node/SessionHandle.ts"

export type AdminRequest = IncomingMessage | Http2ServerRequest
export type AdminResponse = ServerResponse | Http2ServerResponse

export interface AdminHandler {
  /** Whether it answers the stream, which is no request then. */
  readonly takeStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean
  readonly handle: (request: AdminRequest, response: AdminResponse) => void
}

export class AdminConnections {
  readonly #handler: AdminHandler
  readonly #idleTimeoutMs: number
  readonly #http1: Server
  readonly #http2: Http2Server
  /** Makes requests of the streams that it is given. */
  readonly #http2Requests: Http2Server
  readonly #peers = new Set<Peer>()
  readonly #peerOf = new WeakMap<Socket, Peer>()
  #closed: (() => void) | undefined

  constructor(handler: AdminHandler, idleTimeoutMs: number) {
    this.#handler = handler
    this.#idleTimeoutMs = idleTimeoutMs
    const handle = (request: AdminRequest, response: AdminResponse) => {
      if (this.#closed === undefined) handler.handle(request, response)
      else refuse(response, 503)
    }
    this.#http1 = createServer({ keepAliveTimeout: 0 }, (request, response) => {
      this.#peerOf.get(request.socket)?.track(request, response)
      handle(request, response)
    })
    this.#http2 = createHttp2Server({ settings: { maxConcurrentStreams: STREAMS_MAX } })
    this.#http2Requests = createHttp2Server(handle)
  }

  /** Takes the socket over. */
  accept(socket: Socket): void {
    const peer = new Peer(socket, this.#idleTimeoutMs)
    this.#peers.add(peer)
    this.#peerOf.set(socket, peer)
    socket.on("error", () => socket.destroy())
    socket.once("close", () => {
      peer.gone()
      this.#peers.delete(peer)
      if (this.#peers.size === 0) this.#closed?.()
    })
    this.#readProtocol(socket, peer)
  }

  /**
   * Refuses new requests, cuts those that are not whole yet, and lets the others be answered for at most `finishTimeoutMs`.
   * Completes when every connection is closed.
   */
  close(finishTimeoutMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => (this.#closed = resolve))
    if (this.#peers.size === 0) this.#closed?.()
    for (const peer of this.#peers) peer.finish()
    const deadline = setTimeout(() => this.#peers.forEach((peer) => peer.socket.destroy()), finishTimeoutMs)
    return closed.finally(() => clearTimeout(deadline))
  }

  #readProtocol(socket: Socket, peer: Peer): void {
    let read = Buffer.alloc(0)
    const onReadable = () => {
      const chunk: unknown = socket.read()
      if (!Buffer.isBuffer(chunk)) return
      read = Buffer.concat([read, chunk])
      const isHttp2 = read.subarray(0, HTTP2_PREFACE.length).equals(HTTP2_PREFACE.subarray(0, read.length))
      if (isHttp2 && read.length < HTTP2_PREFACE.length) return
      socket.off("readable", onReadable)
      socket.off("end", onEnd)
      socket.unshift(read)
      if (isHttp2) this.#serveHttp2(socket, peer)
      else this.#http1.emit("connection", socket)
    }
    const onEnd = () => socket.destroy()
    socket.on("readable", onReadable)
    socket.on("end", onEnd)
  }

  #serveHttp2(socket: Socket, peer: Peer): void {
    // A session never outlives the client's end of the stream.
    socket.allowHalfOpen = false
    // Comes before `emit` returns.
    this.#http2.once("session", (session) => {
      outliveStreams(session)
      peer.session = session
      session.on("stream", (stream, ...request) => {
        peer.track(stream, stream)
        const isTaken = this.#closed === undefined && this.#handler.takeStream(stream, request[0])
        if (!isTaken) this.#http2Requests.emit("stream", stream, ...request)
      })
    })
    this.#http2.emit("connection", socket)
  }
}

/** What a request comes on. */
type Asked = IncomingMessage | ServerHttp2Stream

/** An answer without a body. */
export const refuse = (response: AdminResponse, status: number): void => {
  response.statusCode = status
  response.end()
}

/** Of one HTTP/2 connection. As many callers as may have a connection of their own. */
const STREAMS_MAX = 64

/** Enough of `PRI * HTTP/2.0` to tell it from every method of HTTP/1.1. */
const HTTP2_PREFACE = Buffer.from("PRI *")

/** One connection, and the requests on it. */
class Peer {
  readonly socket: Socket
  session: ServerHttp2Session | undefined
  readonly #idleTimeoutMs: number
  /** With the deadline until which each has to be whole. */
  readonly #requests = new Map<Asked, NodeJS.Timeout>()
  #idle: NodeJS.Timeout
  #finishing = false

  constructor(socket: Socket, idleTimeoutMs: number) {
    this.socket = socket
    this.#idleTimeoutMs = idleTimeoutMs
    this.#idle = this.#untilIdle()
  }

  /** `request` ends when it is whole, and `answer` closes behind it. */
  track(request: Asked, answer: ServerResponse | ServerHttp2Stream): void {
    answer.once("close", () => this.#answered(request))
    clearTimeout(this.#idle)
    const deadline = setTimeout(() => cut(request), this.#idleTimeoutMs)
    this.#requests.set(request, deadline)
    request.once("end", () => clearTimeout(deadline))
  }

  #answered(request: Asked): void {
    clearTimeout(this.#requests.get(request))
    this.#requests.delete(request)
    if (this.#requests.size > 0 || this.socket.destroyed) return
    if (this.#finishing) this.#end()
    else this.#idle = this.#untilIdle()
  }

  /** Closes as soon as every request that is whole has been answered. */
  finish(): void {
    this.#finishing = true
    for (const request of this.#requests.keys()) if (!isWhole(request)) cut(request)
    if (this.#requests.size === 0) this.#end()
    else this.session?.close()
  }

  gone(): void {
    clearTimeout(this.#idle)
    for (const deadline of this.#requests.values()) clearTimeout(deadline)
  }

  /** What has been written still goes out. */
  #end(): void {
    if (this.session === undefined) this.socket.destroySoon()
    else this.session.close()
  }

  #untilIdle(): NodeJS.Timeout {
    return setTimeout(() => this.socket.destroy(), this.#idleTimeoutMs)
  }
}

const isWhole = (request: Asked): boolean =>
  "complete" in request ? request.complete : request.endAfterHeaders || request.readableEnded

const cut = (request: Asked): void => {
  if ("socket" in request) request.socket.destroy()
  else request.close(constants.NGHTTP2_CANCEL)
}
