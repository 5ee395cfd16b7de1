/**
 * One request to a backend, from the wish to send it to the head of its response.
 *
 * Whoever has it (those who wait for a connection, then the connection) says with `onCancel` how to take it back. What
 * comes after it is over, cancelled or not, changes nothing.
 */
import { Effect } from "effect"
import type { Neighbour } from "../../pipeline/Running.ts"
import { FIELD_LIST_BYTES_MAX, fieldListBytes, fieldOf } from "../Fields.ts"
import type { Fields, OutgoingBody, RequestHead, ResponseHead } from "../Message.ts"
import type { BackendFailed, BackendResponse } from "./Backends.ts"

/** Whose request it is. */
export interface Requester {
  /** Called for each 1xx but 101, for as many as `INTERIM_BYTES_MAX` allows. */
  interim(head: ResponseHead): void
  /** The head is on its way; `body`: where the request's body goes, `undefined` when the head says that there is none. */
  sent(body: OutgoingBody | undefined): void
}

/**
 * The 1xx heads of one request together, since they can wait for a slow client and a proxy may drop none (RFC 9110 15.2).
 * They get what one header list gets: a thousand that say nothing, as an application sends each second for minutes.
 */
export const INTERIM_BYTES_MAX = FIELD_LIST_BYTES_MAX

/** What a head takes beside its fields, status line and empty line. */
const INTERIM_HEAD_BYTES = 64

export class PendingRequest implements Neighbour<PendingRequest> {
  /** Among those that wait for a connection. */
  previous: PendingRequest | undefined
  next: PendingRequest | undefined
  readonly head: RequestHead
  readonly requester: Requester
  #answer: Effect.Effect<BackendResponse, BackendFailed> | undefined
  #onAnswer: ((answer: Effect.Effect<BackendResponse, BackendFailed>) => void) | undefined
  #onTaken: (() => void) | undefined
  #undo: (() => void) | undefined
  #isAnswered = false
  #interimBytes = 0

  constructor(head: RequestHead, requester: Requester) {
    this.head = head
    this.requester = requester
  }

  /** Waits for the head of the response. For one waiter. */
  get answer(): Effect.Effect<BackendResponse, BackendFailed> {
    if (this.#answer !== undefined) return this.#answer
    return Effect.callback((resume) => {
      this.#onAnswer = resume
    })
  }

  /** Calls `listener` once a connection has it, or there will be none. */
  onTaken(listener: () => void): void {
    this.#onTaken = listener
  }

  onCancel(undo: () => void): void {
    this.#undo = undo
  }

  sent(body: OutgoingBody | undefined): void {
    this.requester.sent(body)
    this.#onTaken?.()
  }

  /** A 1xx head came. A backend that has too many of them has failed. */
  interim(head: ResponseHead): void {
    if (this.#answer !== undefined) return
    this.#interimBytes += INTERIM_HEAD_BYTES + fieldListBytes(head.fields)
    if (this.#interimBytes <= INTERIM_BYTES_MAX) return this.requester.interim(head)
    this.fail(TOO_MANY_INTERIM)
    this.cancel()
  }

  /** There is a response, so that nothing else can become of it. */
  get isAnswered(): boolean {
    return this.#isAnswered
  }

  respond(response: BackendResponse): void {
    this.#isAnswered = true
    this.#settle(Effect.succeed(response))
  }

  /** There is no response; nothing where there is one already. */
  fail(failed: BackendFailed): void {
    this.#settle(Effect.fail(failed))
    this.#onTaken?.()
  }

  /** Cancels what the backend is still doing about it: RST_STREAM, or the connection's end on HTTP/1.1. */
  cancel(): void {
    const undo = this.#undo
    this.#undo = undefined
    undo?.()
  }

  #settle(answer: Effect.Effect<BackendResponse, BackendFailed>): void {
    if (this.#answer !== undefined) return
    this.#answer = answer
    this.#onAnswer?.(answer)
  }
}

/** Whether a response can have a body (RFC 9110 6.4.1). */
export const mayHaveBody = ({ method }: RequestHead, status: number): boolean =>
  method !== "HEAD" && status !== 204 && status !== 304

/**
 * The length of a response's body that no trailers follow: its head says it, and the client has not asked for trailers,
 * which who sends a length has none of but by way of exception (RFC 9110 6.5.1).
 */
export const lengthOf = (asked: RequestHead, fields: Fields): number | undefined => {
  if (fieldOf(asked.fields, "te") !== undefined) return undefined
  const length = fieldOf(fields, "content-length")
  return length !== undefined && LENGTH.test(length) ? Number(length) : undefined
}

const LENGTH = /^[0-9]+$/

export const unavailable = (reason: string, unprocessed: boolean): BackendFailed => ({
  _tag: "unavailable",
  unprocessed,
  reason
})

const TOO_MANY_INTERIM = unavailable("more 1xx responses than one request may have", false)
