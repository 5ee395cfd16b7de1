/**
 * The last exchange on a connection of HTTP/1.1: a WebSocket, or the answer to what cannot be read as a request.
 *
 * Node's parser has let go of the connection, so that the head is written here. Whatever the answer is, nothing comes
 * behind it on this connection.
 */
import { Result } from "effect"
import { STATUS_CODES, validateHeaderName, validateHeaderValue, type IncomingMessage } from "node:http"
import type { Exchange, Follows } from "../Exchange.ts"
import { fieldOf } from "../Fields.ts"
import { noTrailers, type Fields, type IncomingBody, type OutgoingBody, type ResponseHead } from "../Message.ts"
import { acceptOf } from "../WebSocketKey.ts"
import type { ClientConnection } from "./ClientConnection.ts"

export class LastExchange implements Exchange {
  readonly request: Exchange["request"]
  readonly method: string
  readonly target: string
  readonly body: IncomingBody | undefined
  readonly acceptedStatus = 101
  /** It is a WebSocket that was accepted. */
  isAccepted = false
  readonly #connection: ClientConnection
  /** Of a WebSocket's handshake. */
  readonly #key: string | undefined

  /** `incoming`: the request, where there is one. */
  constructor(request: Exchange["request"], connection: ClientConnection, incoming?: IncomingMessage) {
    this.request = request
    this.method = incoming?.method ?? ""
    this.target = incoming?.url ?? ""
    this.#connection = connection
    this.#key = incoming === undefined ? undefined : fieldOf(incoming.rawHeaders, "sec-websocket-key")
    const isWebSocket = request._tag === "Request" && request.head.isWebSocket
    this.body = isWebSocket ? { readable: connection.duplex, trailers: noTrailers } : undefined
  }

  interim({ fields, status }: ResponseHead): void {
    // One that cannot be sent is nothing that the client needs.
    Result.try(() => this.#write(status, fields))
  }

  respond({ fields, status }: ResponseHead, follows: Follows): OutgoingBody | undefined {
    const { duplex } = this.#connection
    if (follows === "websocket") {
      this.isAccepted = true
      this.#write(this.acceptedStatus, [...fields, "connection", "Upgrade", "upgrade", "websocket", ...this.#accept()])
    } else {
      this.#write(status, [...fields, "connection", "close"])
    }
    return follows === "nothing" ? undefined : { writable: duplex, end: () => void duplex.end() }
  }

  abort(): void {
    const { duplex } = this.#connection
    // An answer's end is that of the connection, so that nothing less tells that it is not whole.
    if (!this.isAccepted) return this.#connection.reset()
    this.#connection.closing("reset")
    duplex.end(() => duplex.destroy())
  }

  #accept(): Fields {
    return this.#key === undefined ? [] : ["sec-websocket-accept", acceptOf(this.#key)]
  }

  /** Throws where a field cannot be sent. */
  #write(status: number, fields: Fields): void {
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`
    for (let i = 0; i + 1 < fields.length; i += 2) {
      validateHeaderName(fields[i]!)
      validateHeaderValue(fields[i]!, fields[i + 1]!)
      head += `${fields[i]}: ${fields[i + 1]}\r\n`
    }
    this.#connection.duplex.write(`${head}\r\n`, "latin1")
  }
}
