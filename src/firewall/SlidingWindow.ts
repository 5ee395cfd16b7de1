/**
 * Which sources have used their quota: the times of recent admissions, by rate-limit key (see `SourceTable`).
 *
 * A source is refused while `limit` of its admissions are inside the window. An admission is inside until exactly
 * `windowMs` after it, and outside from then on; a refused attempt leaves none. At most `admissionsMax` are remembered;
 * for one more, the source whose last attempt is longest ago is forgotten with all of its own.
 *
 * A plain state machine: whoever calls brings the time, which must never go back. Each call is O(1), in fixed memory.
 */
import type { IpAddress } from "../net/IpAddress.ts"
import { NONE, SlotList, SlotPool } from "./SlotList.ts"
import { SourceTable } from "./SourceTable.ts"

/** As the contract says; about 70 MB when each is of a different source. */
export const ADMISSIONS_MAX = 1_048_576

/** Admissions that left the window and are dropped an attempt: more than come in, so what a quiet time left shrinks. */
const EXPIRED_PER_ATTEMPT = 2

export class SlidingWindow {
  readonly #limit: number
  readonly #windowMs: number
  readonly #table: SourceTable

  readonly #admissions: SlotPool
  /** All admissions, oldest first. */
  readonly #byTime: SlotList
  readonly #timeMs: Float64Array
  readonly #sourceOf: Int32Array
  /** The same source's next admission, where there is one. */
  readonly #later: Int32Array

  readonly #sources: SlotPool
  /** The sources in the table, the one idle longest first. */
  readonly #byAttempt: SlotList
  readonly #oldest: Int32Array
  readonly #newest: Int32Array
  readonly #count: Int32Array

  /** A forgotten source, in no table or order any more, whose admissions are dropped one by one as room is needed. */
  #leaving = NONE
  #forgotten = 0

  /** `limit` is at most `admissionsMax`; `random` feeds the hash table. */
  constructor(limit: number, windowMs: number, random: () => number, admissionsMax = ADMISSIONS_MAX) {
    this.#limit = limit
    this.#windowMs = windowMs
    this.#table = new SourceTable(admissionsMax, random)
    this.#admissions = new SlotPool(admissionsMax)
    this.#byTime = new SlotList(admissionsMax)
    this.#timeMs = new Float64Array(admissionsMax)
    this.#sourceOf = new Int32Array(admissionsMax)
    this.#later = new Int32Array(admissionsMax)
    this.#sources = new SlotPool(admissionsMax)
    this.#byAttempt = new SlotList(admissionsMax)
    this.#oldest = new Int32Array(admissionsMax)
    this.#newest = new Int32Array(admissionsMax)
    this.#count = new Int32Array(admissionsMax)
  }

  /** Sources forgotten because too much was remembered. */
  get forgotten(): number {
    return this.#forgotten
  }

  /** Records an admission of `ip` and answers true; or false, recording none, when its quota is used. */
  admit(ip: IpAddress, nowMs: number): boolean {
    this.#dropExpired(nowMs)
    const known = this.#table.find(ip)
    if (known !== NONE) {
      this.#byAttempt.remove(known)
      this.#byAttempt.append(known)
      if (this.#isFull(known, nowMs)) return false
      // Never more than `limit` a source: this one has left the window.
      if (this.#count[known] === this.#limit) this.#dropOldestOf(known)
    }
    const admission = this.#takeAdmission()
    this.#record(admission, known === NONE ? this.#addSource(ip) : known, nowMs)
    return true
  }

  /** What `admit` would answer. */
  wouldAdmit(ip: IpAddress, nowMs: number): boolean {
    const source = this.#table.find(ip)
    return source === NONE || !this.#isFull(source, nowMs)
  }

  /** The last `limit` admissions are enough to tell, and the oldest of them decides. */
  #isFull(source: number, nowMs: number): boolean {
    return this.#count[source] === this.#limit && this.#isInside(this.#oldest[source]!, nowMs)
  }

  #isInside(admission: number, nowMs: number): boolean {
    return nowMs - this.#timeMs[admission]! < this.#windowMs
  }

  #dropExpired(nowMs: number): void {
    for (let i = 0; i < EXPIRED_PER_ATTEMPT; i++) {
      const admission = this.#byTime.first
      if (admission === NONE || this.#isInside(admission, nowMs)) return
      // The oldest of all is also the oldest of its source.
      const source = this.#sourceOf[admission]!
      this.#dropOldestOf(source)
      if (this.#count[source] === 0) this.#dropSource(source)
    }
  }

  /** A free slot. Where there is none, nothing expired is left either, since each attempt drops that first. */
  #takeAdmission(): number {
    const free = this.#admissions.take()
    if (free !== NONE) return free
    if (this.#leaving === NONE) {
      this.#leaving = this.#byAttempt.first
      this.#byAttempt.remove(this.#leaving)
      this.#table.remove(this.#leaving)
      this.#forgotten++
    }
    const source = this.#leaving
    this.#dropOldestOf(source)
    if (this.#count[source] === 0) this.#dropSource(source)
    return this.#admissions.take()
  }

  /** There is a slot: every source has an admission, and one admission fewer than the most is remembered here. */
  #addSource(ip: IpAddress): number {
    const source = this.#sources.take()
    this.#table.add(ip, source)
    this.#byAttempt.append(source)
    return source
  }

  #dropSource(source: number): void {
    if (source === this.#leaving) {
      this.#leaving = NONE
    } else {
      this.#byAttempt.remove(source)
      this.#table.remove(source)
    }
    this.#sources.free(source)
  }

  #record(admission: number, source: number, nowMs: number): void {
    this.#timeMs[admission] = nowMs
    this.#sourceOf[admission] = source
    this.#byTime.append(admission)
    if (this.#count[source] === 0) this.#oldest[source] = admission
    else this.#later[this.#newest[source]!] = admission
    this.#newest[source] = admission
    this.#count[source]!++
  }

  #dropOldestOf(source: number): void {
    const admission = this.#oldest[source]!
    this.#oldest[source] = this.#later[admission]!
    this.#count[source]!--
    this.#byTime.remove(admission)
    this.#admissions.free(admission)
  }
}
