/**
 * The order of everything that happens on a simulated network, on Effect's clock.
 *
 * One fiber sleeps until the next event is due. Nothing happens within the call that schedules it: what is due at once
 * happens a turn of the scheduler later, so that fibers and network take turns even where no time passes. With a clock
 * that is moved by hand the same calls give the same order, on any machine.
 */
import { Cause, Clock, Duration, Effect } from "effect"
import type { Fiber, Scope } from "effect"

import { EventQueue, type QueuedEvent } from "./EventQueue.ts"

export class Timeline {
  readonly #clock: Clock.Clock
  readonly #fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly #queue = new EventQueue()
  #sleeper: Fiber.Fiber<void> | undefined
  /** When the sleeper wakes: `Infinity` when there is none, `-Infinity` when it only waits for its turn. */
  #wakesAt = Infinity
  #running = false
  #defect: Cause.Cause<never> | undefined

  /** The timeline of a scope: when that closes, nothing happens any more, and what an event has thrown is its defect. */
  static readonly make: Effect.Effect<Timeline, never, Scope.Scope> = Effect.gen(function* () {
    const clock = yield* Clock.Clock
    // With the context goes the scheduler, which is how a test clock knows when all that it woke has settled.
    const fork = Effect.runForkWith(yield* Effect.context())
    return yield* Effect.acquireRelease(
      Effect.sync(() => new Timeline(clock, fork)),
      (timeline) => timeline.#close
    )
  })

  private constructor(clock: Clock.Clock, fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>) {
    this.#clock = clock
    this.#fork = fork
  }

  /** Monotonic milliseconds. */
  readonly now = (): number => Number(this.#clock.monotonicTimeNanosUnsafe()) / 1e6

  /** How many events are to come. */
  get pending(): number {
    return this.#queue.length
  }

  isDue(at: number): boolean {
    return at <= this.now() + ROUNDING_MS
  }

  /** Calls `action` at that time, or at the next turn where that has passed. */
  at(time: number, action: () => void): QueuedEvent {
    const event = this.#queue.add(Math.max(time, this.now()), action)
    this.#arm()
    return event
  }

  /** Takes an event back; does nothing when it has happened. */
  cancel(event: QueuedEvent | undefined): void {
    if (event === undefined) return
    this.#queue.remove(event)
    // A sleeper that wakes for nothing sleeps on; only the last one must not keep a clock busy.
    if (this.#queue.length === 0 && !this.#running) this.#disarm()
  }

  #arm(): void {
    const next = this.#queue.first
    if (next === undefined || this.#running) return
    const wakesAt = this.isDue(next.at) ? -Infinity : next.at
    if (wakesAt >= this.#wakesAt) return
    this.#disarm()
    this.#wakesAt = wakesAt
    const waiting = wakesAt === -Infinity ? Effect.yieldNow : this.#clock.sleep(Duration.millis(next.at - this.now()))
    this.#sleeper = this.#fork(Effect.andThen(waiting, this.#run))
  }

  #disarm(): void {
    this.#wakesAt = Infinity
    this.#sleeper?.interruptUnsafe()
    this.#sleeper = undefined
  }

  /** What is due and was scheduled before this turn. What throws does not keep the others from happening. */
  readonly #run: Effect.Effect<void> = Effect.sync(() => {
    this.#sleeper = undefined
    this.#running = true
    const scheduled = this.#queue.count
    for (let next = this.#queue.first; next !== undefined; next = this.#queue.first) {
      if (next.number >= scheduled || !this.isDue(next.at)) break
      this.#queue.remove(next)
      try {
        next.action()
      } catch (defect) {
        this.#defect ??= Cause.die(defect)
      }
    }
    this.#running = false
    this.#wakesAt = Infinity
    this.#arm()
  })

  readonly #close: Effect.Effect<void> = Effect.suspend(() => {
    for (let next = this.#queue.first; next !== undefined; next = this.#queue.first) this.#queue.remove(next)
    this.#disarm()
    return this.#defect === undefined ? Effect.void : Effect.failCause(this.#defect)
  })
}

/** Clocks round a sleep to their own unit; what is nearer than this is now. */
const ROUNDING_MS = 0.001
