/**
 * One HTTP/1.1 connection to a backend, on which one request follows the other.
 *
 * It is used again only where a response has ended as it should and nothing came behind it; what a backend says without
 * being asked ends the connection. Parsing is Node's strict one. A request that breaks off takes the connection with it.
 */
import { Result } from "effect"
import { request as startRequest, type ClientRequest, type IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import { endToEnd, endToEndTrailers, FIELD_LIST_BYTES_MAX, fieldOf, pairs, withoutField } from "../Fields.ts"
import { noTrailers, type Fields, type OutgoingBody, type RequestHead } from "../Message.ts"
import { acceptOf, newKey } from "../WebSocketKey.ts"
import type { BackendConnection, ConnectionOwner } from "./BackendConnection.ts"
import type { OpenBackend } from "./BackendDial.ts"
import type { BackendFailed } from "./Backends.ts"
import { lengthOf, mayHaveBody, unavailable, type PendingRequest } from "./PendingRequest.ts"

/** Less than the five seconds after which Node and Apache close a connection: a request that meets that is lost. */
const IDLE_MS = 4_000

/** So much earlier than the backend: it does not close, either, what a request is on its way to. */
const IDLE_MARGIN_MS = 1_000

const KEPT_SECONDS = /(?:^|[,\s])timeout=(\d{1,6})/i

export class Http1Connection implements BackendConnection {
  readonly takesWebSockets = true
  readonly #opened: OpenBackend
  readonly #owner: ConnectionOwner
  readonly #closeIdle = (): void => void this.#opened.duplex.destroy()
  #isBusy = false
  #idleMs = IDLE_MS
  #idleTimer: NodeJS.Timeout | undefined

  constructor(opened: OpenBackend, owner: ConnectionOwner) {
    this.#opened = opened
    this.#owner = owner
    const { duplex } = opened
    duplex.on("error", () => {})
    duplex.once("close", () => {
      clearTimeout(this.#idleTimer)
      owner.ended()
    })
    this.#rest()
  }

  get free(): number {
    const { duplex } = this.#opened
    return this.#isBusy || duplex.destroyed || !duplex.writable || duplex.readableEnded ? 0 : 1
  }

  send(request: PendingRequest): void {
    const { head } = request
    if (LOWER_CASE.test(head.method)) return request.fail(OTHER_METHOD)
    this.#wake()
    const key = head.isWebSocket ? (fieldOf(head.fields, "sec-websocket-key") ?? newKey()) : undefined
    const begun = Result.try(() =>
      startRequest({
        createConnection: () => this.#opened.duplex,
        method: head.method,
        path: head.path,
        headers: requestFields(head, key),
        maxHeaderSize: FIELD_LIST_BYTES_MAX,
        setHost: false
      })
    )
    if (Result.isFailure(begun)) {
      this.#rest()
      return request.fail(unavailable("the head cannot be sent as HTTP/1.1", false))
    }
    const outgoing = begun.success
    // Without a pool of Node's it would be closed.
    outgoing.shouldKeepAlive = true
    // All of them, within their size.
    outgoing.maxHeadersCount = 0
    const exchange = new Exchange(outgoing, request, this.#opened, key)
    exchange.onOver = (isClean) => {
      const { duplex } = this.#opened
      if (!isClean || duplex.destroyed || !duplex.writable) return void duplex.destroy()
      this.#idleMs = exchange.idleMs
      this.#rest()
      this.#owner.freed()
    }
    exchange.start()
  }

  destroy(): void {
    this.#opened.duplex.destroy()
  }

  /** Nothing may come until the next request: not the end either. */
  #rest(): void {
    this.#isBusy = false
    const { duplex } = this.#opened
    duplex.on("data", this.#closeIdle).on("end", this.#closeIdle)
    duplex.resume()
    this.#idleTimer = setTimeout(this.#closeIdle, this.#idleMs)
  }

  #wake(): void {
    this.#isBusy = true
    clearTimeout(this.#idleTimer)
    this.#opened.duplex.off("data", this.#closeIdle).off("end", this.#closeIdle)
  }
}

/** Methods are compared with case (RFC 9110 9.1), and Node's client sends upper case alone: `get` would become `GET`. */
const LOWER_CASE = /[a-z]/

const OTHER_METHOD: BackendFailed = {
  _tag: "unsupported",
  unprocessed: true,
  reason: "a method with lower case cannot be sent as HTTP/1.1"
}

/** A request that has been given to Node, and its response. */
class Exchange {
  /** The exchange is over; `isClean`: as it should, so that the connection can be used again. */
  onOver: (isClean: boolean) => void = () => {}
  readonly #outgoing: ClientRequest
  readonly #request: PendingRequest
  readonly #opened: OpenBackend
  /** Of a WebSocket's handshake. */
  readonly #key: string | undefined
  readonly #bytesBefore: number
  #incoming: IncomingMessage | undefined
  #reason = "closed before a response"
  #isWhole = false
  #isUpgraded = false

  constructor(outgoing: ClientRequest, request: PendingRequest, opened: OpenBackend, key: string | undefined) {
    this.#outgoing = outgoing
    this.#request = request
    this.#opened = opened
    this.#key = key
    this.#bytesBefore = opened.connection.bytesWritten
  }

  start(): void {
    const { head } = this.#request
    const outgoing = this.#outgoing
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      this.#reason = error.code ?? error.message
      // Node would take what ends with the connection for whole, however that has ended.
      if (this.#incoming?.complete === false) this.#incoming.destroy(error)
    })
    outgoing.on("information", ({ rawHeaders, statusCode }) => {
      if (statusCode !== 101) this.#request.interim({ status: statusCode, fields: endToEnd(rawHeaders) })
    })
    outgoing.on("response", (incoming) => this.#respond(incoming))
    outgoing.on("upgrade", (incoming, socket, first) => this.#upgrade(incoming, socket, first))
    outgoing.on("close", () => this.#close())
    this.#request.onCancel(() => this.#cancel())
    const hasBody = head.hasBody && !head.isWebSocket
    // The head does not wait for the body: it may be all that there is for a while.
    if (hasBody) outgoing.flushHeaders()
    else outgoing.end()
    this.#request.sent(hasBody ? outgoingBody(outgoing, head.contentLength === undefined) : undefined)
  }

  #respond(incoming: IncomingMessage): void {
    this.#incoming = incoming
    incoming.on("error", () => {})
    // Another coding would be passed on as if it were the body, and HTTP/1.0 knows none (RFC 9112 6.1).
    const coding = incoming.headers["transfer-encoding"]
    if (coding !== undefined && (coding.toLowerCase() !== "chunked" || incoming.httpVersion === "1.0")) {
      this.#reason = "a transfer coding that was not asked for"
      return void incoming.socket.destroy()
    }
    const status = incoming.statusCode ?? 0
    const hasBody = mayHaveBody(this.#request.head, status) && incoming.headers["content-length"] !== "0"
    // It has come whole, which Node says only once this returns.
    this.#isWhole = !hasBody
    if (!hasBody) incoming.resume()
    const fields = endToEnd(incoming.rawHeaders)
    const length = lengthOf(this.#request.head, fields)
    const trailers = () => endToEndTrailers(incoming.rawTrailers)
    if (!hasBody) return this.#request.respond({ status, fields, body: undefined, upgraded: undefined })
    const body = { readable: incoming, length, trailers }
    // Once the parser is through with what came together: a body that makes no sense is known by then, or is there.
    process.nextTick(() => this.#request.respond({ status, fields, body, upgraded: undefined }))
  }

  #upgrade({ headers, rawHeaders }: IncomingMessage, socket: Duplex, first: Buffer): void {
    const isAccepted =
      this.#key !== undefined &&
      headers.upgrade?.toLowerCase() === "websocket" &&
      headers["sec-websocket-accept"] === acceptOf(this.#key)
    if (!isAccepted) {
      this.#reason = "a 101 that nobody asked for, or that does not fit the key"
      return void socket.destroy()
    }
    this.#isUpgraded = true
    if (first.length > 0) socket.unshift(first)
    const fields = endToEnd(rawHeaders)
    this.#request.respond({
      status: 200,
      // Whether the client needs one, and which, is its own side's to say.
      fields: withoutField(fields, "sec-websocket-accept"),
      body: { readable: socket, trailers: noTrailers },
      upgraded: { writable: socket, end: () => void socket.end() }
    })
  }

  #close(): void {
    if (this.#isUpgraded) return
    const isUnsent = this.#opened.connection.bytesWritten === this.#bytesBefore
    this.#request.fail(unavailable(this.#reason, isUnsent))
    this.onOver(this.#isComplete)
  }

  /** How long the connection may be idle now: less than the backend says it keeps it, where it does. */
  get idleMs(): number {
    const kept = KEPT_SECONDS.exec(fieldOf(this.#incoming?.rawHeaders ?? [], "keep-alive") ?? "")?.[1]
    return kept === undefined ? IDLE_MS : Math.min(IDLE_MS, Number(kept) * 1_000 - IDLE_MARGIN_MS)
  }

  get #isComplete(): boolean {
    return (this.#isWhole || this.#incoming?.complete === true) && this.#outgoing.writableFinished
  }

  /** HTTP/1.1 has no other way to cancel than to end the connection. */
  #cancel(): void {
    // Taken for whole, whether anybody reads it or not.
    if (!this.#isUpgraded && this.#isComplete) return void this.#incoming?.resume()
    this.#outgoing.destroy()
    this.#opened.connection.reset()
  }
}

const requestFields = (head: RequestHead, key: string | undefined): Array<string> => {
  const fields = ["host", head.authority, ...head.fields]
  if (key !== undefined) {
    fields.push("connection", "Upgrade", "upgrade", "websocket")
    if (fieldOf(head.fields, "sec-websocket-key") === undefined) fields.push("sec-websocket-key", key)
    if (fieldOf(head.fields, "sec-websocket-version") === undefined) fields.push("sec-websocket-version", "13")
    return fields
  }
  // A field that is for the next hop alone is named (RFC 9110 10.1.4).
  fields.push("connection", fieldOf(head.fields, "te") === undefined ? "keep-alive" : "keep-alive, te")
  if (head.contentLength !== undefined) return fields
  if (head.hasBody) fields.push("transfer-encoding", "chunked")
  else if (!BODILESS_METHODS.has(head.method)) fields.push("content-length", "0")
  return fields
}

/** Those that anticipate no body; of others its absence is said (RFC 9110 8.6). Node would say it by an empty chunk. */
const BODILESS_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"])

/** A body of known length has no trailers (RFC 9112 7.1.2). */
const outgoingBody = (outgoing: ClientRequest, isChunked: boolean): OutgoingBody => ({
  writable: outgoing,
  end: (trailers: Fields) => {
    if (isChunked && trailers.length > 0) outgoing.addTrailers(pairs(trailers))
    outgoing.end()
  }
})
