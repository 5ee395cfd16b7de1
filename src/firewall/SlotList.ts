/**
 * Slots: the numbers from 0 to a fixed maximum that stand for records kept in typed arrays.
 *
 * `SlotPool` hands them out, `SlotList` keeps an order of them. Every operation is O(1) and allocates nothing. The arrays
 * have their full size from the start: the system backs a page of zeros with memory only once it is written, so an
 * unused maximum costs address space alone, and nothing ever stalls to grow. Neither class checks its caller: a slot is
 * taken once before it is freed, and is in a list at most once.
 */

/** No slot. */
export const NONE = -1

/** Which slots are free. The last one freed is the next one taken, so memory touched before is used again first. */
export class SlotPool {
  readonly #freed: Int32Array
  #freedCount = 0
  /** Slots from here on were never taken. */
  #untouched = 0

  constructor(slotsMax: number) {
    this.#freed = new Int32Array(slotsMax)
  }

  /** A free slot, or `NONE`. */
  take(): number {
    if (this.#freedCount > 0) return this.#freed[--this.#freedCount]!
    return this.#untouched < this.#freed.length ? this.#untouched++ : NONE
  }

  free(slot: number): void {
    this.#freed[this.#freedCount++] = slot
  }
}

/** An order of slots, doubly linked. */
export class SlotList {
  readonly #before: Int32Array
  readonly #after: Int32Array
  #first = NONE
  #last = NONE

  constructor(slotsMax: number) {
    this.#before = new Int32Array(slotsMax)
    this.#after = new Int32Array(slotsMax)
  }

  /** The slot appended longest ago, or `NONE`. */
  get first(): number {
    return this.#first
  }

  append(slot: number): void {
    this.#before[slot] = this.#last
    this.#after[slot] = NONE
    if (this.#last === NONE) this.#first = slot
    else this.#after[this.#last] = slot
    this.#last = slot
  }

  remove(slot: number): void {
    const before = this.#before[slot]!
    const after = this.#after[slot]!
    if (before === NONE) this.#first = after
    else this.#after[before] = after
    if (after === NONE) this.#last = before
    else this.#before[after] = before
  }
}
