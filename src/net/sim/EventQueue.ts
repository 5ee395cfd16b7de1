/**
 * What is going to happen, in order of time; of one time, in the order in which it was scheduled.
 *
 * A binary heap in which each event knows its place, so that taking one out again costs no more than putting it in.
 */

/** Something that happens at a time. Whoever scheduled it may take it out of the queue again. */
export interface QueuedEvent {
  readonly at: number
  /** Counts the events of its queue. */
  readonly number: number
  readonly action: () => void
  /** Where it is in the heap; -1 when it is in none any more. */
  index: number
}

export class EventQueue {
  readonly #heap: Array<QueuedEvent> = []
  #count = 0

  get length(): number {
    return this.#heap.length
  }

  /** The next to happen. */
  get first(): QueuedEvent | undefined {
    return this.#heap[0]
  }

  /** How many have been put in ever: the number of the next one. */
  get count(): number {
    return this.#count
  }

  add(at: number, action: () => void): QueuedEvent {
    const event: QueuedEvent = { at, number: this.#count++, action, index: this.#heap.length }
    this.#heap.push(event)
    this.#rise(event)
    return event
  }

  /** Does nothing to an event that has been taken out already. */
  remove(event: QueuedEvent): void {
    const { index } = event
    if (index < 0) return
    event.index = -1
    const last = this.#heap.pop()!
    if (last === event) return
    this.#put(last, index)
    this.#rise(last)
    this.#sink(last)
  }

  #rise(event: QueuedEvent): void {
    while (event.index > 0) {
      const parent = this.#heap[(event.index - 1) >> 1]!
      if (isBefore(parent, event)) return
      this.#swap(parent, event)
    }
  }

  #sink(event: QueuedEvent): void {
    while (true) {
      const left = this.#heap[2 * event.index + 1]
      const right = this.#heap[2 * event.index + 2]
      const child = left !== undefined && right !== undefined && isBefore(right, left) ? right : left
      if (child === undefined || isBefore(event, child)) return
      this.#swap(event, child)
    }
  }

  #swap(upper: QueuedEvent, lower: QueuedEvent): void {
    const { index } = upper
    this.#put(upper, lower.index)
    this.#put(lower, index)
  }

  #put(event: QueuedEvent, index: number): void {
    this.#heap[index] = event
    event.index = index
  }
}

const isBefore = (one: QueuedEvent, other: QueuedEvent): boolean =>
  one.at < other.at || (one.at === other.at && one.number < other.number)
