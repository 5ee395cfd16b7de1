/**
 * The connections of the admin socket. Each speaks HTTP/1.1, or HTTP/2 with prior knowledge, as its first bytes say
 * (RFC 9113 3.4); one handler serves both.
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
  type ServerHttp2Session
} from "node:http2"
import type { Socket } from "node:net"

export type AdminRequest = IncomingMessage | Http2ServerRequest
export type AdminResponse = ServerResponse | Http2ServerResponse

export class AdminConnections {
  readonly #handle: (request: AdminRequest, response: AdminResponse) => void
  readonly #idleTimeoutMs: number
  readonly #http1: Server
  readonly #http2: Http2Server
  readonly #peers = new Set<Peer>()
  /** By socket and by session. */
  readonly #peerOf = new WeakMap<object, Peer>()
  #closed: (() => void) | undefined

  constructor(handle: (request: AdminRequest, response: AdminResponse) => void, idleTimeoutMs: number) {
    this.#handle = handle
    this.#idleTimeoutMs = idleTimeoutMs
    this.#http1 = createServer({ keepAliveTimeout: 0 }, (request, response) => {
      this.#begin(request.socket, request, response)
    })
    this.#http2 = createHttp2Server({ settings: { maxConcurrentStreams: STREAMS_MAX } }, (request, response) => {
      this.#begin(request.stream.session, request, response)
    })
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
      this.#peerOf.set(session, peer)
      peer.session = session
    })
    this.#http2.emit("connection", socket)
  }

  #begin(carrier: object | undefined, request: AdminRequest, response: AdminResponse): void {
    const peer = carrier === undefined ? undefined : this.#peerOf.get(carrier)
    if (peer === undefined || this.#closed !== undefined) return refuse(response, 503)
    peer.begin(request)
    response.once("close", () => peer.end(request))
    this.#handle(request, response)
  }
}

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
  readonly #requests = new Map<AdminRequest, NodeJS.Timeout>()
  #idle: NodeJS.Timeout
  #finishing = false

  constructor(socket: Socket, idleTimeoutMs: number) {
    this.socket = socket
    this.#idleTimeoutMs = idleTimeoutMs
    this.#idle = this.#untilIdle()
  }

  begin(request: AdminRequest): void {
    clearTimeout(this.#idle)
    const whole = setTimeout(() => cut(request), this.#idleTimeoutMs)
    request.once("end", () => clearTimeout(whole))
    this.#requests.set(request, whole)
  }

  end(request: AdminRequest): void {
    clearTimeout(this.#requests.get(request))
    this.#requests.delete(request)
    if (this.#requests.size > 0 || this.socket.destroyed) return
    if (this.#finishing) this.#end()
    else this.#idle = this.#untilIdle()
  }

  /** Closes as soon as every request that is whole has been answered. */
  finish(): void {
    this.#finishing = true
    for (const request of this.#requests.keys()) if (!request.complete) cut(request)
    if (this.#requests.size === 0) this.#end()
    else this.session?.close()
  }

  gone(): void {
    clearTimeout(this.#idle)
    for (const whole of this.#requests.values()) clearTimeout(whole)
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

const cut = (request: AdminRequest): void => {
  if ("stream" in request) request.stream.close(constants.NGHTTP2_CANCEL)
  else request.socket.destroy()
}
