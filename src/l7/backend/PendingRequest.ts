/**
 * One request to a backend, from the wish to send it to the head of its response.
 *
 * Whoever has it (those who wait for a connection, then the connection) says with `onCancel` how to take it back. What
 * comes after it is over, cancelled or not, changes nothing.
 */
import { Deferred, Effect } from "effect"
import type { OutgoingBody, RequestHead, ResponseHead } from "../Message.ts"
import type { BackendFailed, BackendRequest, BackendResponse } from "./Backends.ts"

export class PendingRequest {
  readonly head: RequestHead
  /** For each 1xx but 101. */
  readonly onInterim: (head: ResponseHead) => void
  readonly #response = Deferred.makeUnsafe<BackendResponse, BackendFailed>()
  #sent: Effect.Effect<BackendRequest, BackendFailed> | undefined
  #resume: (sent: Effect.Effect<BackendRequest, BackendFailed>) => void = () => {}
  #undo: () => void = () => {}
  #isAnswered = false

  constructor(head: RequestHead, onInterim: (head: ResponseHead) => void) {
    this.head = head
    this.onInterim = onInterim
  }

  /** Whether the head has been sent, once a connection has it, which does that or refuses at once. */
  get whenSent(): Effect.Effect<BackendRequest, BackendFailed> {
    return this.#sent ?? Effect.die(new Error("No connection has this request."))
  }

  /** Whom to tell of it where there is no connection yet. */
  onSent(resume: (sent: Effect.Effect<BackendRequest, BackendFailed>) => void): void {
    this.#resume = resume
  }

  onCancel(undo: () => void): void {
    this.#undo = undo
  }

  sent(body: OutgoingBody | undefined): void {
    this.#settle(Effect.succeed({ body, response: Deferred.await(this.#response) }))
  }

  /** There is a response, so that nothing else can become of it. */
  get isAnswered(): boolean {
    return this.#isAnswered
  }

  respond(response: BackendResponse): void {
    this.#isAnswered = true
    Deferred.doneUnsafe(this.#response, Effect.succeed(response))
  }

  /** There is no response; nothing where there is one already. */
  fail(failed: BackendFailed): void {
    this.#settle(Effect.fail(failed))
    Deferred.doneUnsafe(this.#response, Effect.fail(failed))
  }

  cancel(): void {
    const undo = this.#undo
    this.#undo = () => {}
    undo()
  }

  #settle(sent: Effect.Effect<BackendRequest, BackendFailed>): void {
    this.#sent ??= sent
    this.#resume(this.#sent)
  }
}

/** Whether a response can have a body (RFC 9110 6.4.1). */
export const mayHaveBody = ({ method }: RequestHead, status: number): boolean =>
  method !== "HEAD" && status !== 204 && status !== 304

export const unavailable = (reason: string, unprocessed: boolean): BackendFailed => ({
  _tag: "unavailable",
  unprocessed,
  reason
})
