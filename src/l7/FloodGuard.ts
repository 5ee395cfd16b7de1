/**
 * Tells a client that floods its HTTP/2 connection from one that is only busy: counters of one connection, without a
 * clock of their own.
 *
 * Each count is an allowance that refills with time; who overdraws one is cut off. What a client does in step with what
 * it is served costs nothing: a ping for each read (how gRPC measures bandwidth), a cancellation for each request that
 * it let be answered. What only costs us is bounded. Empty frames and CONTINUATION are counted by Node's library.
 */

/** What a client overdrew, for the log. */
export type Flood = "resets" | "pings" | "settings"

export class FloodGuard {
  readonly #resets: Allowance
  readonly #pings: Allowance
  readonly #settings: Allowance
  /** What had been sent to the client at its last ping. */
  #sentAtPing = 0

  /** `now`, here and below: milliseconds of any clock that does not go back. */
  constructor(now: number) {
    this.#resets = new Allowance(RESETS_MAX, RESETS_A_SECOND, now)
    this.#pings = new Allowance(PINGS_MAX, PINGS_A_SECOND, now)
    this.#settings = new Allowance(SETTINGS_MAX, SETTINGS_A_SECOND, now)
  }

  /** A request's answer has begun. What the client does about it from then on is its business. */
  answered(): void {
    this.#resets.earn()
  }

  /** A request ended by the client's doing before its answer had begun: reset, or broken so that it had to be. */
  abandoned(now: number): Flood | undefined {
    return this.#resets.spend(now) ? undefined : "resets"
  }

  /** A PING came. `bytesSent`: all that was sent on the connection so far. */
  ping(now: number, bytesSent: number): Flood | undefined {
    const isAboutData = bytesSent - this.#sentAtPing > PING_ANSWER_BYTES_MAX
    this.#sentAtPing = bytesSent
    return isAboutData || this.#pings.spend(now) ? undefined : "pings"
  }

  /** SETTINGS came, not as an acknowledgement. */
  settings(now: number): Flood | undefined {
    return this.#settings.spend(now) ? undefined : "settings"
  }
}

/** So many at once, so many a second in the long run. */
class Allowance {
  readonly #max: number
  readonly #perSecond: number
  #left: number
  #countedAt: number

  constructor(max: number, perSecond: number, now: number) {
    this.#max = max
    this.#perSecond = perSecond
    this.#left = max
    this.#countedAt = now
  }

  /** Whether there was one left. */
  spend(now: number): boolean {
    const refilled = this.#left + ((now - this.#countedAt) * this.#perSecond) / 1000
    this.#left = Math.min(this.#max, refilled)
    this.#countedAt = now
    if (this.#left < 1) return false
    this.#left--
    return true
  }

  earn(): void {
    this.#left = Math.min(this.#max, this.#left + 1)
  }
}

/**
 * Ten times the streams that may be open: a client may drop all of them again and again as its user clicks on, or as a
 * stalled backend lets its deadlines pass. A rapid reset (CVE-2023-44487) makes as many in milliseconds.
 */
export const RESETS_MAX = 1280
/** Every stream that may be open, dropped unanswered each second, for ever. */
export const RESETS_A_SECOND = 128

/** Keep-alives come once in ten seconds or more; these leave room for bursts that measure the way. */
export const PINGS_MAX = 1000
export const PINGS_A_SECOND = 100
/** What the answer to one PING takes on the wire at most: its frame of 17 bytes in a TLS record of its own. */
export const PING_ANSWER_BYTES_MAX = 64

/** Clients send one, and another when a window is to grow. */
export const SETTINGS_MAX = 100
export const SETTINGS_A_SECOND = 10
