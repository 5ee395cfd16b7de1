/**
 * One request of a client and its response, as the side of the client's protocol offers them to the request pipeline.
 *
 * The protocol's side tells when the client has gone (`LiveRequest.end`); the pipeline answers at most once.
 */
import type { IncomingBody, OutgoingBody, RequestHead, ResponseHead } from "./Message.ts"
import type { ProxyStatus } from "./ProxyAnswer.ts"

export interface Exchange {
  readonly request: { readonly _tag: "Request"; readonly head: RequestHead } | Refused
  /** As they were sent, for the access log. */
  readonly method: string
  readonly target: string
  /** `undefined`: there is none. Of a WebSocket, what the client sends. */
  readonly body: IncomingBody | undefined
  /** What tells the client that its WebSocket is accepted. */
  readonly acceptedStatus: 101 | 200
  /** Sends a 1xx head, where the client's version of HTTP has them. */
  interim(head: ResponseHead): void
  /**
   * Sends the final head, and gives where the body goes: of a WebSocket that is accepted, what the client is sent.
   * Throws where a field cannot be sent; then nothing has been.
   */
  respond(head: ResponseHead, follows: Follows): OutgoingBody | undefined
  /** Breaks the exchange off, so that the client takes nothing for whole. */
  abort(): void
}

/** Answered with `status`, and no backend hears of it. `reason` is for the log, in the proxy's own words. */
export interface Refused {
  readonly _tag: "Refused"
  readonly status: ProxyStatus
  readonly reason: string
}

/** What comes behind a final head; `sized`: a body of the length that the head says, and no trailers. */
export type Follows = "nothing" | "body" | "sized" | "websocket"
