import { assert, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Random } from "effect"
import * as fc from "fast-check"
import { SimRuntime, SimStuck } from "../../src/testing/SimRuntime.ts"

it("lets time pass when every fiber waits, in the order of the sleeps", () => {
  const runtime = new SimRuntime({ seed: 1 })
  const woken: Array<string> = []
  const sleeper = (name: string, ms: number) =>
    Effect.andThen(
      Effect.sleep(ms),
      Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => void woken.push(`${name} ${now}`)))
    )
  const program = Effect.all([sleeper("late", 3_000_000), sleeper("a", 20), sleeper("b", 20), sleeper("first", 0)], {
    concurrency: "unbounded"
  })
  assert.isTrue(Exit.isSuccess(runtime.run(program)))
  assert.deepStrictEqual(woken, ["first 0", "a 20", "b 20", "late 3000000"])
  assert.deepStrictEqual([runtime.liveFibers, runtime.pendingSleeps], [0, 0])
})

it("wakes nobody who has stopped waiting", () => {
  const runtime = new SimRuntime({ seed: 1 })
  const program = Effect.timeoutOption(Effect.sleep(1000), 10)
  assert.isTrue(Exit.isSuccess(runtime.run(program)))
  assert.deepStrictEqual([runtime.now(), runtime.pendingSleeps], [10, 0])
})

it("counts the fibers that a program leaves behind", () => {
  const runtime = new SimRuntime({ seed: 1 })
  runtime.run(Effect.andThen(Effect.forkDetach(Effect.never), Effect.sleep(1)))
  assert.strictEqual(runtime.liveFibers, 1)
})

it.each([
  ["waits for what never comes", Effect.never, "nothing goes on at 0 ms"],
  ["waits longer than it may", Effect.sleep(2000), "nothing goes on at 0 ms"],
  ["spins", Effect.forever(Effect.yieldNow), "fibers spin at 0 ms"]
])("says of a program that it %s", (_, program, message) => {
  const run = () => new SimRuntime({ seed: 1 }).run(program, 1000)
  assert.throws(run, SimStuck, message)
})

/** Ten fibers that take turns, each after a chance of its own; tells the order. */
const turns = (seed: number, shuffled: boolean): string => {
  const order: Array<number> = []
  const taking = (fiber: number) =>
    Effect.gen(function* () {
      for (let turn = 0; turn < 5; turn++) {
        order.push(fiber)
        if ((yield* Random.nextIntBetween(0, 3)) === 0) yield* Effect.sleep(1)
        else yield* Effect.yieldNow
      }
    })
  const fibers = Array.from({ length: 10 }, (_, i) => taking(i))
  new SimRuntime({ seed, shuffled }).run(Effect.all(fibers, { concurrency: "unbounded" }))
  return order.join(" ")
}

it("does the same again for the same seed, and not for every other", () => {
  fc.assert(
    fc.property(fc.nat(), fc.boolean(), (seed, shuffled) => {
      assert.strictEqual(turns(seed, shuffled), turns(seed, shuffled))
    }),
    { numRuns: 20 }
  )
  assert.isAbove(new Set(Array.from({ length: 20 }, (_, seed) => turns(seed, true))).size, 15)
})

it("keeps the order of what one fiber asks for, also where that of fibers is drawn", () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const seen: Array<number> = []
      const program = Effect.gen(function* () {
        const done = yield* Deferred.make<void>()
        const children = yield* Effect.forEach([0, 1, 2, 3, 4], (i) =>
          Effect.forkChild(
            Effect.andThen(
              Effect.sync(() => void seen.push(i)),
              Deferred.await(done)
            )
          )
        )
        yield* Effect.sleep(1)
        yield* Deferred.succeed(done, undefined)
        yield* Fiber.joinAll(children)
      })
      new SimRuntime({ seed, shuffled: true }).run(program)
      assert.deepStrictEqual(seen, [0, 1, 2, 3, 4])
    })
  )
})

/** A number that comes back through each of Node's queues, so many times. */
const throughNode = (times: number): Effect.Effect<number> =>
  Effect.callback<number>((resume) => {
    const again = (left: number): void => {
      if (left === 0) return resume(Effect.succeed(times))
      setImmediate(() => process.nextTick(() => void Promise.resolve().then(() => again(left - 1))))
    }
    again(times)
  })

it("lets nothing of Node's wait while time passes", async () => {
  const runtime = new SimRuntime({ seed: 1 })
  const program = Effect.raceFirst(throughNode(100), Effect.as(Effect.sleep(1), 0))
  const exits = await Promise.all([runtime.runAsync(program), new SimRuntime({ seed: 2 }).runAsync(program)])
  assert.deepStrictEqual(exits, [Exit.succeed(100), Exit.succeed(100)])
  assert.strictEqual(runtime.now(), 0)
})

it("says of a program that waits for the world outside that it is stuck", async () => {
  const timer = Effect.callback<void>((resume) => void setTimeout(() => resume(Effect.void), 60_000).unref())
  const run = new SimRuntime({ seed: 1 }).runAsync(timer)
  const failure = await run.then(
    () => undefined,
    (error: unknown) => error
  )
  assert.instanceOf(failure, SimStuck)
})
