/**
 * Who comes to a listener that is bound ahead of its revision: they wait, and are served when that is in force.
 *
 * Each has its place in the descriptor budget, since the revision may be waiting for a disk.
 */
import type { Connection } from "../net/Connection.ts"
import type { DescriptorBudget, Place } from "../net/DescriptorBudget.ts"

export class EarlyClients {
  readonly #budget: DescriptorBudget["Service"]
  #waiting: Array<{ readonly socket: Connection; readonly place: Place }> = []
  #closed = false

  constructor(budget: DescriptorBudget["Service"]) {
    this.#budget = budget
  }

  /** Owns the connection, and resets it when there is no room for it. */
  add(socket: Connection): void {
    const room = !this.#closed && this.#waiting.length < EARLY_MAX
    const place = room ? this.#budget.reserve() : undefined
    if (place === undefined) socket.reset()
    else this.#waiting.push({ socket, place })
  }

  /** Those who wait, in the order of their coming; they are the caller's. */
  take(): ReadonlyArray<Connection> {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { place } of waiting) place.release()
    return waiting.map(({ socket }) => socket)
  }

  /** Resets those who wait, and whoever comes from now on. */
  close(): void {
    this.#closed = true
    for (const socket of this.take()) socket.reset()
  }
}

/** Twice as many as the kernel's backlog would keep waiting, as Node sets it. */
const EARLY_MAX = 1024
