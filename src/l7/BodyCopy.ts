/**
 * Copies a body from one side to the other as fast as it is taken: Node's streams alone, no Effect a chunk.
 *
 * A body that has ended ends the other side with its trailers. One that breaks off is left to whoever started the copy,
 * since what that means is different for a request and for a response.
 */
import type { IncomingBody, OutgoingBody } from "./Message.ts"

export type CopyEnd =
  /** The whole was passed on. */
  | "ended"
  /** The sender broke off. */
  | "broken"
  /** The receiver takes no more. */
  | "refused"

export class BodyCopy {
  /** Bytes passed on so far. */
  bytes = 0
  /** Set once it is over. */
  end: CopyEnd | undefined
  readonly #from: IncomingBody
  readonly #to: OutgoingBody
  readonly #onEnd: (end: CopyEnd) => void
  /** The receiver has been slow before. */
  #waits = false

  /** Starts. `onEnd` is called once, unless the copy is stopped before. */
  constructor(from: IncomingBody, to: OutgoingBody, onEnd: (end: CopyEnd) => void) {
    this.#from = from
    this.#to = to
    this.#onEnd = onEnd
    to.writable.on("close", this.#refused)
    from.readable.on("end", this.#ended).on("close", this.#broken).on("data", this.#pass)
    if (from.readable.destroyed) this.#broken()
    // Paused when another copy of it was stopped.
    else from.readable.resume()
  }

  /** Takes nothing more from the sender, and leaves the receiver as it is. Nothing where the copy is over. */
  stop(): void {
    if (this.end !== undefined) return
    const { readable } = this.#from
    readable.off("data", this.#pass).off("end", this.#ended).off("close", this.#broken)
    this.#to.writable.off("drain", this.#resume).off("close", this.#refused)
    readable.pause()
  }

  readonly #pass = (chunk: Uint8Array): void => {
    this.bytes += chunk.length
    if (this.#to.writable.write(chunk) || this.end !== undefined) return
    this.#from.readable.pause()
    if (this.#waits) return
    this.#waits = true
    this.#to.writable.on("drain", this.#resume)
  }

  readonly #resume = (): void => {
    if (this.end === undefined) this.#from.readable.resume()
  }

  readonly #ended = (): void => this.#finish("ended")
  readonly #broken = (): void => this.#finish("broken")
  readonly #refused = (): void => this.#finish("refused")

  /** Listeners stay: with the streams they go by themselves, and taking one off costs as much as putting it on. */
  #finish(end: CopyEnd): void {
    if (this.end !== undefined) return
    if (end !== "ended") this.stop()
    this.end = end
    if (end === "ended") this.#to.end(this.#from.trailers())
    this.#onEnd(end)
  }
}
