/**
 * Which fiber runs next: in the order in which they asked, or in one that a seed draws.
 *
 * Nothing runs by itself; whoever owns the scheduler calls `runNext`. What one fiber has asked for happens in its own
 * order either way, as with Effect's scheduler. Of several fibers none has a promise to come first, so that a drawn
 * order finds what relies on one.
 */
import type { Fiber, Scheduler } from "effect"
import type { Draw } from "./Draw.ts"

export class SimScheduler implements Scheduler.Scheduler {
  readonly executionMode = "async"
  /** Draws the order; without it the first to ask is the first to run. */
  readonly #order: Draw | undefined
  /** Each as often as it has tasks. */
  readonly #ready: Array<SimDispatcher> = []
  /** Those before it have had their turn. */
  #head = 0

  constructor(order: Draw | undefined) {
    this.#order = order
  }

  shouldYield({ cache, currentOpCount }: Fiber.Fiber<unknown, unknown>): boolean {
    return currentOpCount >= cache.maxOpsBeforeYield
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return new SimDispatcher((dispatcher) => this.#ready.push(dispatcher))
  }

  /** False when there is nothing to run. */
  runNext(): boolean {
    const waiting = this.#ready.length - this.#head
    if (waiting === 0) return false
    const index = this.#order === undefined ? this.#head : this.#order.integer(this.#head, this.#ready.length - 1)
    const dispatcher = this.#ready[index]!
    this.#ready[index] = this.#ready[this.#head++]!
    if (this.#head > FORGOTTEN_MAX) {
      this.#ready.splice(0, this.#head)
      this.#head = 0
    }
    dispatcher.runNext()
    return true
  }
}

/** How many that had their turn are kept, so that forgetting them costs little each. */
const FORGOTTEN_MAX = 1024

/** The tasks of one fiber. */
class SimDispatcher implements Scheduler.SchedulerDispatcher {
  readonly #ready: (dispatcher: SimDispatcher) => void
  readonly #tasks: Array<Task> = []

  constructor(ready: (dispatcher: SimDispatcher) => void) {
    this.#ready = ready
  }

  scheduleTask(run: () => void, priority: number): void {
    const after = this.#tasks.findLastIndex((task) => task.priority <= priority)
    this.#tasks.splice(after + 1, 0, { run, priority })
    this.#ready(this)
  }

  /** The turns that it was given for what it has run here find nothing to do. */
  flush(): void {
    while (this.#tasks.length > 0) this.runNext()
  }

  runNext(): void {
    this.#tasks.shift()?.run()
  }
}

interface Task {
  readonly run: () => void
  /** The lowest first. */
  readonly priority: number
}
