/**
 * HTTP/1.1 to a client (RFC 9112), and 1.0, on Node's parser: one request after the other.
 *
 * Requests that a client sends ahead wait, and their connection is not read meanwhile. After a WebSocket handshake or
 * something that is no HTTP nothing else is read as a request. A response that breaks off ends the connection, since
 * that is how its client can tell.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import type { Hostname } from "../../snapshot/Hostname.ts"
import type { Exchange, Refused } from "../Exchange.ts"
import { FIELD_LIST_BYTES_MAX } from "../Fields.ts"
import { asksForWebSocket, readHttp1Request } from "../Http1Request.ts"
import type { LiveRequest } from "../LiveRequest.ts"
import type { ClientConnection, Protocol } from "./ClientConnection.ts"
import { Http1Exchange } from "./Http1Exchange.ts"
import { LastExchange } from "./LastExchange.ts"

/**
 * The parser's own limit. Ours counts 32 bytes a field, so that what is within it is within this, white space that means
 * nothing included as far as anybody sends it.
 */
const HEAD_BYTES_MAX = FIELD_LIST_BYTES_MAX + 16 * 1024

/** Requests that wait for those before them: what a client may have sent in one go, since it is not read further. */
const WAITING_MAX = 4096

export class Http1Client implements Protocol {
  readonly #connection: ClientConnection
  readonly #server: Hostname
  readonly #http: Server
  readonly #waiting: Array<() => void> = []
  #current: { readonly exchange: Http1Exchange; readonly live: LiveRequest } | undefined
  #last: LastExchange | undefined
  #served = 0
  /** Nothing is read as a request any more. */
  #isLast = false
  /** Bytes have come behind a request that still runs. */
  #isHeadBegun = false

  constructor(connection: ClientConnection, server: Hostname) {
    this.#connection = connection
    this.#server = server
    this.#http = createHttp()
    this.#http
      .on("request", this.#receive)
      .on("checkContinue", this.#receive)
      .on("checkExpectation", this.#receive)
      .on("upgrade", this.#receiveLast)
      .on("connect", this.#receiveLast)
      .on("clientError", (error: NodeJS.ErrnoException) => this.#fail(error))
    const { duplex } = connection
    this.#http.emit("connection", duplex)
    // Before the parser gets them.
    duplex.prependListener("data", () => this.#noteBytes())
  }

  finish(): void {
    // One that has been served knows that an idle connection may close; a new one is served once.
    if (this.#current === undefined && this.#served > 0 && !this.#isLast) this.close()
  }

  close(): void {
    const { duplex } = this.#connection
    this.#connection.closing("done")
    duplex.end(() => duplex.destroy())
  }

  refuseLate(): void {
    this.#isLast = true
    this.#startLast({ _tag: "Refused", status: 408, reason: "the head was not whole in time" })
  }

  clientEnded(): void {
    if (this.#last?.isAccepted !== true) this.close()
  }

  readonly #receive = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    // The client has been told already that nothing more is served.
    if (this.#isLast || this.#connection.duplex.writableEnded) return
    this.#enqueue(() => this.#start(incoming, outgoing))
  }

  /** A WebSocket's handshake, or CONNECT: what comes behind it is no HTTP. */
  readonly #receiveLast = (incoming: IncomingMessage, _socket: Duplex, first: Buffer): void => {
    this.#isLast = true
    const { duplex } = this.#connection
    duplex.pause()
    if (first.length > 0) duplex.unshift(first)
    if (this.#current !== undefined) duplex.on("drain", () => this.#current?.exchange.drained())
    this.#enqueue(() => this.#startLast(readHttp1Request(incoming, this.#server), incoming))
  }

  #enqueue(start: () => void): void {
    if (this.#current === undefined && this.#waiting.length === 0) return start()
    if (this.#waiting.length >= WAITING_MAX) return this.#connection.reset()
    this.#waiting.push(start)
    this.#connection.duplex.pause()
  }

  #start(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const request = readHttp1Request(incoming, this.#server)
    const exchange = new Http1Exchange(request, incoming, outgoing, this.#connection)
    const live = this.#connection.run(exchange, () => this.#over(exchange))
    this.#current = { exchange, live }
    incoming.on("error", () => {})
    outgoing.on("error", () => {})
  }

  #startLast(request: Exchange["request"], incoming?: IncomingMessage): void {
    const exchange = new LastExchange(request, this.#connection, incoming)
    this.#last = exchange
    this.#connection.run(exchange, () => this.#connection.linger())
  }

  /** The response has been given to Node, which may still have to send some of it. */
  #over(exchange: Http1Exchange): void {
    exchange.onFinished(() => this.#next())
  }

  #next(): void {
    this.#current = undefined
    this.#served++
    // Node has ended it: the client asked for that, or knows the end of a body by nothing else.
    if (this.#connection.duplex.writableEnded) return this.close()
    const start = this.#waiting.shift()
    if (start !== undefined) start()
    else if (this.#connection.isRetired && !this.#isLast) return this.close()
    if (this.#waiting.length === 0 && !this.#isLast) this.#connection.duplex.resume()
    if (this.#isHeadBegun && this.#current === undefined) this.#connection.headBegins()
    this.#isHeadBegun = false
  }

  #noteBytes(): void {
    if (this.#isLast) return
    if (this.#current === undefined) this.#connection.headBegins()
    else if (this.#current.exchange.isWhole) this.#isHeadBegun = true
  }

  /** The parser has given up: on a request's head, on a body, or because the connection is gone. */
  #fail({ code = "" }: NodeJS.ErrnoException): void {
    if (this.#isLast) return
    this.#isLast = true
    const { duplex } = this.#connection
    if (!code.startsWith("HPE_") || code === "HPE_INVALID_EOF_STATE") return void duplex.destroy()
    const current = this.#current
    if (current !== undefined && !current.exchange.isWhole) {
      current.exchange.isLast()
      return current.live.end("malformed")
    }
    this.#enqueue(() => this.#startLast(code === "HPE_HEADER_OVERFLOW" ? TOO_LARGE : MALFORMED))
  }
}

const createHttp = (): Server => {
  const http = createServer({
    insecureHTTPParser: false,
    maxHeaderSize: HEAD_BYTES_MAX,
    // Judged with the rest of the head.
    requireHostHeader: false,
    shouldUpgradeCallback: asksForWebSocket,
    // Deadlines are the connection's; Node enforces none on a stream that it is given.
    keepAliveTimeout: 0
  })
  // All of them, within their size.
  http.maxHeadersCount = 0
  return http
}

const TOO_LARGE: Refused = { _tag: "Refused", status: 431, reason: "header list too large" }
const MALFORMED: Refused = { _tag: "Refused", status: 400, reason: "no well-formed HTTP" }
