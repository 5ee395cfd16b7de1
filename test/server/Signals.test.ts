import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Queue, Scope } from "effect"
import { Signals } from "../../src/server/Signals.ts"

const listeners = () =>
  ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "uncaughtException", "unhandledRejection"].map((signal) =>
    process.listenerCount(signal)
  )

it.effect("passes on the process's signals, and lets go of them", () =>
  Effect.gen(function* () {
    const before = listeners()
    const scope = yield* Scope.make()
    const signals = Context.get(yield* Layer.buildWithScope(Signals.layer, scope), Signals)
    process.emit("SIGTERM", "SIGTERM")
    process.emit("SIGHUP", "SIGHUP")
    process.emit("SIGINT", "SIGINT")
    assert.deepStrictEqual(yield* Queue.takeAll(signals.stop), ["SIGTERM", "SIGINT"])
    assert.deepStrictEqual(yield* Queue.takeAll(signals.reload), ["SIGHUP"])
    yield* Scope.close(scope, Exit.void)
    assert.deepStrictEqual(listeners(), before)
  })
)

it.effect("counts no more signals than mean something", () =>
  Effect.gen(function* () {
    const signals = yield* Signals
    for (let i = 0; i < 3; i++) {
      process.emit("SIGINT", "SIGINT")
      process.emit("SIGHUP", "SIGHUP")
    }
    assert.strictEqual(yield* Queue.size(signals.stop), 2)
    assert.strictEqual(yield* Queue.size(signals.reload), 1)
  }).pipe(Effect.provide(Signals.layer))
)

it.effect("takes SIGUSR1 from Node, which would open its debugger to whoever can connect", () =>
  Effect.gen(function* () {
    const before = process.listenerCount("SIGUSR1")
    yield* Layer.build(Signals.layer)
    assert.strictEqual(process.listenerCount("SIGUSR1"), before + 1)
  })
)
