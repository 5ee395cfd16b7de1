/**
 * Runs a program to its end in no real time: time passes whenever every fiber waits.
 *
 * Clock, scheduler and chance are its own, so that the seed alone decides what happens, on any machine and under any
 * load. `run` is one synchronous call, for what waits for Effect's clock or for other fibers. `runAsync` lets Node's
 * streams and its HTTP take part as well, which call back on the machine's own queue: no time passes before that is
 * empty. A program that waits for a real socket or for a timer of JavaScript's own never goes on in either, and is told
 * so. Fibers are counted, so that one that is left shows.
 */
import { Clock, Context, Duration, Effect, Metric, Random, Scheduler } from "effect"
import type { Exit } from "effect"
import { EventQueue } from "../net/sim/EventQueue.ts"
import { Draw } from "./Draw.ts"
import { settleNode } from "./NodeQueue.ts"
import { SimScheduler } from "./SimScheduler.ts"

export interface SimRuntimeOptions {
  readonly seed: string | number
  /** Fibers that are ready run in an order that the seed draws, and not in the one in which they became ready. */
  readonly shuffled?: boolean
  /** Is called whenever every fiber waits, before time passes. */
  readonly onSettled?: () => void
}

/** Why a program has not come to its end. */
export class SimStuck extends Error {
  override readonly name = "SimStuck"
}

export class SimRuntime {
  readonly #scheduler: SimScheduler
  readonly #sleeps = new EventQueue()
  readonly #onSettled: () => void
  readonly #context: Context.Context<never>
  #nowMs = 0
  #liveFibers = 0

  constructor({ onSettled = () => {}, seed, shuffled = false }: SimRuntimeOptions) {
    this.#scheduler = new SimScheduler(shuffled ? new Draw(`order ${seed}`) : undefined)
    this.#onSettled = onSettled
    const random = Effect.runSync(Random.withSeed(Random.Random, `chance ${seed}`))
    this.#context = Context.make(Clock.Clock, this.#clock).pipe(
      Context.add(Scheduler.Scheduler, this.#scheduler),
      Context.add(Random.Random, random),
      Context.add(Metric.FiberRuntimeMetrics, {
        recordFiberStart: () => void this.#liveFibers++,
        recordFiberEnd: () => void this.#liveFibers--
      })
    )
  }

  /** Simulated milliseconds since the beginning, which is also 1970. */
  readonly now = (): number => this.#nowMs

  /** Fibers that have not ended. */
  get liveFibers(): number {
    return this.#liveFibers
  }

  /** Sleeps that have not ended. */
  get pendingSleeps(): number {
    return this.#sleeps.length
  }

  /** Throws `SimStuck` when the program would not end: it spins, waits for ever, or for longer than `msMax`. */
  run<A, E>(program: Effect.Effect<A, E>, msMax: number = SIMULATED_MS_MAX): Exit.Exit<A, E> {
    const play = this.#play(program, msMax)
    while (true) {
      const { done, value } = play.next()
      if (done === true) return value
    }
  }

  /** Like `run`, for a program that uses Node's streams or HTTP; see `SimNetwork` and `SimPeer`. */
  async runAsync<A, E>(program: Effect.Effect<A, E>, msMax: number = SIMULATED_MS_MAX): Promise<Exit.Exit<A, E>> {
    const play = this.#play(program, msMax)
    while (true) {
      const { done, value } = play.next()
      if (done === true) return value
      await settleNode()
    }
  }

  /** Yields whenever every fiber waits; whoever takes the next step may have woken some. */
  *#play<A, E>(program: Effect.Effect<A, E>, msMax: number): Generator<undefined, Exit.Exit<A, E>> {
    const fiber = Effect.runForkWith(this.#context)(program)
    const until = this.#nowMs + msMax
    for (let turns = 0; ; turns++) {
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return exit
      if (turns > TURNS_A_MOMENT_MAX) throw new SimStuck(`fibers spin at ${this.#nowMs} ms`)
      if (this.#scheduler.runNext()) continue
      yield
      if (this.#scheduler.runNext() || fiber.pollUnsafe() !== undefined) continue
      this.#onSettled()
      if (!this.#wakeNext(until)) throw new SimStuck(`nothing goes on at ${this.#nowMs} ms, and the program waits`)
      turns = 0
    }
  }

  /** What is due at once of what the program has left behind. */
  settle(): void {
    for (let turns = 0; this.#scheduler.runNext(); turns++) {
      if (turns > TURNS_A_MOMENT_MAX) throw new SimStuck(`fibers spin at ${this.#nowMs} ms`)
    }
  }

  #wakeNext(until: number): boolean {
    const next = this.#sleeps.first
    if (next === undefined || next.at > until) return false
    this.#nowMs = next.at
    this.#sleeps.remove(next)
    next.action()
    return true
  }

  readonly #sleep = (duration: Duration.Duration): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      const sleeping = this.#sleeps.add(this.#nowMs + Duration.toMillis(duration), () => resume(Effect.void))
      return Effect.sync(() => this.#sleeps.remove(sleeping))
    })

  get #clock(): Clock.Clock {
    const millis = () => this.#nowMs
    const nanos = () => BigInt(Math.round(this.#nowMs * 1e6))
    return {
      currentTimeMillisUnsafe: millis,
      currentTimeNanosUnsafe: nanos,
      monotonicTimeNanosUnsafe: nanos,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: this.#sleep
    }
  }
}

/** Every wait of a proxy's with usual settings is shorter: an hour. */
const SIMULATED_MS_MAX = 3_600_000

/** Turns of fibers without time passing; a proxy with a hundred clients takes some thousands. */
const TURNS_A_MOMENT_MAX = 1_000_000
