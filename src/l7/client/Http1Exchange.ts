/**
 * One request of HTTP/1.1 or 1.0, and its response, which others may follow.
 *
 * A response whose length is not known goes in chunks, to HTTP/1.0 up to the connection's end.
 */
import { Result } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Exchange, Follows } from "../Exchange.ts"
import { endToEndTrailers, fieldOf, pairs } from "../Fields.ts"
import type { Fields, IncomingBody, OutgoingBody, ResponseHead } from "../Message.ts"
import type { ClientConnection } from "./ClientConnection.ts"

export class Http1Exchange implements Exchange {
  readonly request: Exchange["request"]
  readonly body: IncomingBody | undefined
  readonly acceptedStatus = 101
  readonly #incoming: IncomingMessage
  readonly #outgoing: ServerResponse
  readonly #connection: ClientConnection
  #isLast = false

  constructor(
    request: Exchange["request"],
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    connection: ClientConnection
  ) {
    this.request = request
    this.#incoming = incoming
    this.#outgoing = outgoing
    this.#connection = connection
    const hasBody = request._tag === "Request" && request.head.hasBody
    this.body = hasBody ? { readable: incoming, trailers: () => endToEndTrailers(incoming.rawTrailers) } : undefined
  }

  get method(): string {
    return this.#incoming.method ?? ""
  }

  get target(): string {
    return this.#incoming.url ?? ""
  }

  /** Whether the whole request has come; Node says so of one without a body only in its next step. */
  get isWhole(): boolean {
    return this.#incoming.complete || (this.request._tag === "Request" && !this.request.head.hasBody)
  }

  /** No other follows, since what came behind the head makes no sense. */
  isLast(): void {
    this.#isLast = true
  }

  interim({ fields, status }: ResponseHead): void {
    if (this.#incoming.httpVersion !== "1.1" || this.#outgoing.headersSent) return
    // Node closes the connection behind a request that waits for it, unless it is sent by this.
    if (status === 100) return this.#outgoing.writeContinue()
    // One that cannot be sent is nothing that the client needs.
    Result.try(() => this.#outgoing.writeInformation(status, fields))
  }

  respond({ fields, status }: ResponseHead, follows: Follows): OutgoingBody | undefined {
    const outgoing = this.#outgoing
    this.#keepOpen()
    outgoing.writeHead(status, responseFields(fields, status, follows, this.method === "HEAD", this.#closes))
    if (follows === "nothing") {
      outgoing.end()
      return undefined
    }
    // Node holds the head back for the body; that may be long in coming, and most often has come by the next turn.
    setImmediate(() => {
      if (!outgoing.writableEnded && !outgoing.destroyed) outgoing.flushHeaders()
    })
    return {
      writable: outgoing,
      end: (trailers) => {
        if (trailers.length > 0) outgoing.addTrailers(pairs(trailers))
        outgoing.end()
      }
    }
  }

  /** What was sent up to here arrives; what says that it is whole does not. */
  abort(): void {
    const { duplex } = this.#connection
    if (this.#incoming.httpVersion !== "1.1") return this.#connection.reset()
    this.#connection.closing("reset")
    duplex.end(() => duplex.destroy())
  }

  /** The connection has room again, which Node does not tell a response behind which its parser has let go. */
  drained(): void {
    if (this.#outgoing.writableNeedDrain) this.#outgoing.emit("drain")
  }

  /** The response is with Node: calls back once that has sent it and the request has come whole, if ever. */
  onFinished(next: () => void): void {
    const outgoing = this.#outgoing
    const { duplex } = this.#connection
    if (!outgoing.writableEnded || duplex.destroyed) return
    const finished = () => {
      if (this.#isLast) {
        this.#incoming.resume()
        return this.#connection.linger()
      }
      if (this.isWhole) return next()
      const forget = this.#connection.after(this.#connection.lingerMs, () => duplex.destroy())
      this.#incoming
        .once("end", () => {
          forget()
          next()
        })
        .resume()
    }
    if (outgoing.writableFinished) finished()
    else outgoing.once("finish", finished)
  }

  /**
   * A client that asked for the connection's end, and has not sent all of its request: Node would close behind the
   * response, and what comes then would reset the connection before the client has read it (RFC 9112 9.6).
   */
  #keepOpen(): void {
    const outgoing = this.#outgoing
    if (outgoing.shouldKeepAlive || this.isWhole) return
    this.#isLast = true
    outgoing.shouldKeepAlive = true
    // It says neither; the end says what has become of the connection.
    outgoing.removeHeader("connection")
  }

  /** Not where the request has yet to come: Node closes the connection behind the response, which might get lost. */
  get #closes(): boolean {
    return this.#connection.isRetired && this.isWhole
  }
}

const responseFields = (
  fields: Fields,
  status: number,
  follows: Follows,
  isHead: boolean,
  closes: boolean
): Array<string> => {
  const sent = [...fields]
  const isEmpty = follows === "nothing" && !isHead && status !== 204 && status !== 304
  if (isEmpty && fieldOf(sent, "content-length") === undefined) sent.push("content-length", "0")
  if (closes) sent.push("connection", "close")
  return sent
}
