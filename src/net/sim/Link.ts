/**
 * What lies between two ends: how long it takes, how it cuts, and how much waits in it.
 *
 * Everything on a wire arrives, and in the order in which it was sent; TCP sees to that in reality. What is drawn is
 * drawn from the network's one generator, so that a seed gives it again.
 */
import type { Random } from "effect"
import type { Timeline } from "./Timeline.ts"

export interface Link {
  /** From one end to the other, whole milliseconds, drawn for each segment. */
  readonly latencyMs: Range
  /** Bytes of a segment, at least 1, drawn for each; fewer where fewer are to be sent or can be taken. */
  readonly segmentBytes: Range
  /** What an end's kernel accepts before it has sent any of it. */
  readonly sendBytesMax: number
  /** What an end's kernel holds for a reader that does not come, with what is on its way there. */
  readonly receiveBytesMax: number
}

/** From `min` to `max`, both included; where they are equal nothing is drawn. */
export interface Range {
  readonly min: number
  readonly max: number
}

/** No time, whole chunks, and buffers as small as a busy kernel's. */
export const DEFAULT_LINK: Link = {
  latencyMs: { min: 0, max: 0 },
  segmentBytes: { min: 16_384, max: 16_384 },
  sendBytesMax: 65_536,
  receiveBytesMax: 65_536
}

export const drawInteger = (random: Random.Random, { min, max }: Range): number =>
  min === max ? min : min + Math.floor(random.nextDoubleUnsafe() * (max - min + 1))

/** One direction of a link. */
export class Wire {
  readonly #timeline: Timeline
  readonly #random: Random.Random
  readonly #link: Link
  #lastArrival = -Infinity

  constructor(timeline: Timeline, random: Random.Random, link: Link) {
    this.#timeline = timeline
    this.#random = random
    this.#link = link
  }

  /** Calls `arrive` when what is sent now has come to the other end, behind all that was sent before. */
  carry(arrive: () => void): void {
    const latencyMs = drawInteger(this.#random, this.#link.latencyMs)
    this.#lastArrival = Math.max(this.#lastArrival, this.#timeline.now() + latencyMs)
    this.#timeline.at(this.#lastArrival, arrive)
  }

  /** How many of the bytes that can be sent now make the next segment. */
  cut(bytes: number): number {
    return Math.min(bytes, drawInteger(this.#random, this.#link.segmentBytes))
  }
}
