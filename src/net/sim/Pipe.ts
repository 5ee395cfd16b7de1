/**
 * One direction of a TCP connection: the send buffer at one end, what is on its way, the receive buffer at the other.
 *
 * Both buffers are bounded: `offer` takes what fits, and no more is sent than the receiver has room for, as far as the
 * sender knows, who hears of it a latency later. Whoever uses the two ends is told by `PipeEvents`, and only ever from
 * the timeline, never from within a call.
 */
import { ByteQueue } from "./ByteQueue.ts"
import type { Link, Wire } from "./Link.ts"

export interface PipeEvents {
  /** At the receiver: so many bytes more can be read. */
  arrived(bytes: number): void
  /** At the receiver: FIN, behind all bytes. */
  ended(): void
  /** At the sender: the receiver has got or read something, and there may be room again. */
  acknowledged(): void
}

export class Pipe {
  readonly #link: Link
  readonly #there: Wire
  readonly #back: Wire
  readonly #events: PipeEvents
  // The sender's.
  readonly #unsent = new ByteQueue()
  #sent = 0
  #arrivedAcknowledged = 0
  #readAcknowledged = 0
  #finish: "none" | "queued" | "sent" = "none"
  #cut = false
  // The receiver's.
  readonly #unread = new ByteQueue()
  #arrived = 0
  #read = 0
  #ended = false
  #closed = false
  #acknowledging = false

  constructor(link: Link, there: Wire, back: Wire, events: PipeEvents) {
    this.#link = link
    this.#there = there
    this.#back = back
    this.#events = events
  }

  /** Accepts the first of `bytes`, as many as there is room for, and says how many. */
  offer(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.#link.sendBytesMax - this.#unsent.length)
    this.#unsent.append(bytes.subarray(0, count))
    this.#transmit()
    return count
  }

  /** FIN, behind all that was accepted. */
  finish(): void {
    if (this.#finish !== "none") return
    this.#finish = "queued"
    this.#transmit()
  }

  get finished(): boolean {
    return this.#finish !== "none"
  }

  /** Whether the receiver's kernel is known to have all that was accepted. */
  get delivered(): boolean {
    return this.#unsent.length === 0 && this.#arrivedAcknowledged === this.#sent
  }

  /** The sender is gone: what it has not sent is lost. */
  cut(): void {
    this.#cut = true
    this.#unsent.clear()
  }

  /** What can be read. */
  get unread(): number {
    return this.#unread.length
  }

  /** FIN has come. */
  get ended(): boolean {
    return this.#ended
  }

  /** What waits to be sent, and what waits to be read with what is on its way there; each has its bound. */
  get held(): { readonly sending: number; readonly receiving: number } {
    return { sending: this.#unsent.length, receiving: this.#sent - this.#read }
  }

  view(): Uint8Array {
    return this.#unread.view()
  }

  take(count: number): Uint8Array {
    const bytes = this.#unread.take(count)
    this.#read += bytes.length
    this.#acknowledge()
    return bytes
  }

  /** The receiver is gone: what it has not read, and what still comes, is thrown away. */
  close(): void {
    this.#closed = true
    this.#unread.clear()
  }

  #transmit(): void {
    if (this.#cut) return
    while (this.#unsent.length > 0) {
      const window = this.#link.receiveBytesMax - (this.#sent - this.#readAcknowledged)
      if (window <= 0) return
      const segment = this.#unsent.take(this.#there.cut(Math.min(window, this.#unsent.length)))
      this.#sent += segment.length
      this.#there.carry(() => this.#arrive(segment))
    }
    if (this.#finish !== "queued") return
    this.#finish = "sent"
    this.#there.carry(() => {
      if (this.#closed) return
      this.#ended = true
      this.#events.ended()
    })
  }

  #arrive(segment: Uint8Array): void {
    if (this.#closed) return
    this.#unread.append(segment)
    this.#arrived += segment.length
    this.#acknowledge()
    this.#events.arrived(segment.length)
  }

  /** One acknowledgement on its way is enough: it tells what holds when it comes. */
  #acknowledge(): void {
    if (this.#acknowledging) return
    this.#acknowledging = true
    this.#back.carry(() => {
      this.#acknowledging = false
      this.#arrivedAcknowledged = this.#arrived
      this.#readAcknowledged = this.#read
      if (this.#cut) return
      this.#transmit()
      this.#events.acknowledged()
    })
  }
}
