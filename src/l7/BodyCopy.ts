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
  /** The receiver has got all, though the sender has not ended yet. What becomes of the receiver is no matter any more. */
  isWhole = false
  readonly #from: IncomingBody
  readonly #to: OutgoingBody
  readonly #onEnd: (end: CopyEnd) => void
  /** The receiver has been slow before. */
  #waits = false
  /** An event that its listeners are being told of reaches those that have been taken off meanwhile, too. */
  #isStopped = false

  /**
   * Starts. `onEnd` is called once, unless the copy is stopped before. With the last byte of a body of known length the
   * other side's is ended: on HTTP/2 that is the same frame.
   */
  constructor(from: IncomingBody, to: OutgoingBody, onEnd: (end: CopyEnd) => void) {
    this.#from = from
    this.#to = to
    this.#onEnd = onEnd
    const { readable } = from
    if (isHere(from)) {
      this.#pass(readable.read(from.length) as Uint8Array)
    } else {
      to.writable.on("close", this.#refused)
      readable.on("data", this.#pass)
    }
    readable.on("end", this.#ended).on("close", this.#broken)
    if (readable.destroyed) this.#broken()
    // Paused when another copy of it was stopped.
    else readable.resume()
  }

  /** Nothing more is to come of it that the receiver would take. */
  get isPassed(): boolean {
    return this.end === "ended" || this.end === "refused"
  }

  /** Waits no longer for the end of what the receiver has whole. */
  conclude(): void {
    if (this.isWhole) this.#finish("ended")
  }

  /** Takes nothing more from the sender, and leaves the receiver as it is. Nothing where the copy is over. */
  stop(): void {
    if (this.end !== undefined) return
    this.#isStopped = true
    const { readable } = this.#from
    readable.off("data", this.#pass).off("end", this.#ended).off("close", this.#broken)
    this.#to.writable.off("drain", this.#resume).off("close", this.#refused)
    readable.pause()
  }

  readonly #pass = (chunk: Uint8Array): void => {
    if (this.isWhole) return
    this.bytes += chunk.length
    const isTaken = this.#to.writable.write(chunk)
    if (this.bytes === this.#from.length) return this.#complete()
    if (isTaken || this.end !== undefined) return
    this.#from.readable.pause()
    if (this.#waits) return
    this.#waits = true
    this.#to.writable.on("drain", this.#resume)
  }

  readonly #resume = (): void => {
    if (this.end === undefined && !this.#isStopped) this.#from.readable.resume()
  }

  readonly #ended = (): void => this.#finish("ended")
  readonly #broken = (): void => this.#finish(this.isWhole ? "ended" : "broken")
  readonly #refused = (): void => {
    if (!this.isWhole) this.#finish("refused")
  }

  #complete(): void {
    this.isWhole = true
    this.#to.end([])
  }

  /** Listeners stay: with the streams they go by themselves, and taking one off costs as much as putting it on. */
  #finish(end: CopyEnd): void {
    if (this.end !== undefined || this.#isStopped) return
    if (end !== "ended") this.stop()
    this.end = end
    if (end === "ended" && !this.isWhole) this.#to.end(this.#from.trailers())
    this.#onEnd(end)
  }
}

/** Most bodies are small, and come whole with their head. */
const isHere = ({ length, readable }: IncomingBody): boolean =>
  length !== 0 && readable.readableLength === length && !readable.destroyed
