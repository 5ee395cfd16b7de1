/**
 * The record of one request on L7, from its head to the end of its response.
 *
 * The pipeline notes here what it does; the client's side and the connection's timer end it from outside by `end`. The
 * first end is the request's.
 */
import { Effect, Fiber } from "effect"
import type { Neighbour } from "../pipeline/Running.ts"
import type { PendingRequest } from "./backend/PendingRequest.ts"
import type { BodyCopy } from "./BodyCopy.ts"
import type { Exchange } from "./Exchange.ts"
import type { RequestTrace } from "./RequestTrace.ts"

export type RequestEnd =
  /** The client has cancelled it, or its connection is over. */
  | "gone"
  /** What follows its head is malformed. */
  | "malformed"
  /** The backend has not answered in time. */
  | "timed_out"

export class LiveRequest implements Neighbour<LiveRequest> {
  /** Among those of its connection. */
  previous: LiveRequest | undefined
  next: LiveRequest | undefined
  readonly exchange: Exchange
  /** By the network's clock. */
  readonly startedAt: number
  /** Once the head of the response is sent: its status, or of an own answer what it counts as. */
  status: number | undefined
  /** Since when nothing but the head of the response is missing. */
  waitingSince: number | undefined
  /** Since when it is known that nothing but the backend's end is missing. */
  servedSince: number | undefined
  /** What the backend was asked, the last time where that was more than once. */
  asked: PendingRequest | undefined
  /** The bodies, as far as they have got. */
  upload: BodyCopy | undefined
  download: BodyCopy | undefined
  ending: RequestEnd | undefined
  /** Where the connection is traced. */
  trace: RequestTrace | undefined
  #fiber: Fiber.Fiber<unknown, unknown> | undefined

  constructor(exchange: Exchange, startedAt: number) {
    this.exchange = exchange
    this.startedAt = startedAt
  }

  /** The fiber that runs the pipeline; where the request has been ended already, it ends. */
  runBy(fiber: Fiber.Fiber<unknown, unknown>): void {
    this.#fiber = fiber
    if (this.ending !== undefined) fiber.interruptUnsafe()
  }

  /**
   * Ends the request now, whatever is being done for it, which cancels the backend's part. Where the client has had its
   * part of it the backend's goes on.
   */
  end(ending: RequestEnd): void {
    if (this.ending !== undefined || this.isServed) return
    this.ending = ending
    this.#fiber?.interruptUnsafe()
  }

  /** The client has sent all that the backend takes, and got the whole response. */
  get isServed(): boolean {
    return this.download?.isWhole === true && (this.upload === undefined || this.upload.isPassed)
  }

  /** Interrupts it, and waits until it is over. */
  get interrupted(): Effect.Effect<void> {
    return Effect.suspend(() => (this.#fiber === undefined ? Effect.void : Fiber.interrupt(this.#fiber)))
  }
}
