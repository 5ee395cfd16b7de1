import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { apply, type Change } from "../../src/snapshot/Change.ts"
import { SimStore, type Statement, type StoreFault } from "../../src/store/SimStore.ts"
import { Conflict, WriteFailed } from "../../src/store/Store.ts"
import { l4, listenerOf, randomChange, randomState } from "./RandomState.ts"

const STATE = { listeners: [listenerOf(":1")], firewallRules: [] }

const putRoute = (name: string): Change => [{ _tag: "PutRoute", listener: ":1", route: l4(name) }]

/** The fault, at the statement of that step. */
const at =
  (step: Statement["step"], fault: StoreFault) =>
  (statement: Statement): StoreFault | undefined =>
    statement.step === step ? fault : undefined

describe("a simulated store", () => {
  it.effect("equals the plain model after any changes", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(randomState, fc.array(fc.array(randomChange, { maxLength: 3 })), (state, commits) =>
          Effect.gen(function* () {
            const sim = new SimStore(state)
            const store = sim.open()
            let [revision, model] = [1, state]
            for (const changes of commits) {
              const wanted = apply(model, changes.flat())
              const exit = yield* Effect.exit(store.commit(revision, changes))
              assert.strictEqual(Exit.isSuccess(exit), Result.isSuccess(wanted))
              if (Result.isSuccess(wanted)) [revision, model] = [revision + changes.length, wanted.success]
              assert.deepStrictEqual(yield* store.load, { revision, ...model })
              assert.deepStrictEqual(sim.stored, { revision, ...model })
            }
          }).pipe(Effect.runPromise)
        )
      )
    )
  )

  for (const step of ["begin", "edit", "commit"] as const) {
    it.effect(`has changed nothing after a failure at ${step}, and says so`, () =>
      Effect.gen(function* () {
        const sim = new SimStore(STATE, at(step, { _tag: "Failed" }))
        const error = yield* Effect.flip(sim.open().commit(1, [putRoute("a.test")]))
        assert.instanceOf(error, WriteFailed)
        assert.isTrue(error.certain)
        assert.deepStrictEqual(sim.stored, { revision: 1, ...STATE })
      })
    )
  }

  for (const done of [false, true]) {
    it.effect(`does not say whether a commit was made that ${done ? "was" : "was not"}`, () =>
      Effect.gen(function* () {
        const sim = new SimStore(STATE, at("commit", { _tag: "Unknown", done }))
        const error = yield* Effect.flip(sim.open().commit(1, [putRoute("a.test")]))
        assert.instanceOf(error, WriteFailed)
        assert.isFalse(error.certain)
        assert.strictEqual(sim.stored.revision, done ? 2 : 1)
      })
    )

    it.effect(`keeps after a crash what was committed (${done}), and lets the old life do nothing more`, () =>
      Effect.gen(function* () {
        const sim = new SimStore(STATE, at("commit", { _tag: "Crash", done }))
        const old = sim.open()
        const exit = yield* Effect.exit(old.commit(1, [putRoute("a.test")]))
        assert.isTrue(Exit.hasInterrupts(exit))
        assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(old.load)))
        assert.strictEqual((yield* sim.open().load).revision, done ? 2 : 1)
        assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(old.commit(done ? 2 : 1, [putRoute("b.test")]))))
        assert.strictEqual(sim.stored.revision, done ? 2 : 1)
      })
    )
  }

  it.effect("loses a commit that is under way when the power goes", () =>
    Effect.gen(function* () {
      const sim = new SimStore(STATE, at("edit", { _tag: "Slow", ms: 1000 }))
      const committing = yield* Effect.forkChild(sim.open().commit(1, [putRoute("a.test")]), { startImmediately: true })
      sim.crash()
      yield* TestClock.adjust(1000)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(committing)))
      assert.deepStrictEqual(sim.stored, { revision: 1, ...STATE })
    })
  )

  it.effect("takes the time that its disk takes, and no other", () =>
    Effect.gen(function* () {
      const sim = new SimStore(STATE, at("commit", { _tag: "Slow", ms: 2000 }))
      const committing = yield* Effect.forkChild(sim.open().commit(1, [putRoute("a.test")]), { startImmediately: true })
      yield* TestClock.adjust(1999)
      assert.isUndefined(committing.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(committing), 2)
    })
  )

  it.effect("refuses a commit on top of another revision", () =>
    Effect.gen(function* () {
      const store = new SimStore(STATE).open()
      assert.deepStrictEqual(
        yield* Effect.flip(store.commit(7, [putRoute("a.test")])),
        new Conflict({ expected: 7, actual: 1 })
      )
    })
  )

  it.effect("numbers its statements, so that any of them can be chosen", () =>
    Effect.gen(function* () {
      const met: Array<Statement> = []
      const store = new SimStore(STATE, (statement) => void met.push(statement)).open()
      yield* store.load
      yield* store.commit(1, [putRoute("a.test"), [...putRoute("b.test"), ...putRoute("c.test")]])
      assert.deepStrictEqual(
        met.map(({ step }) => step),
        ["load", "begin", "edit", "edit", "edit", "commit"]
      )
      assert.deepStrictEqual(
        met.map(({ number }) => number),
        [0, 1, 2, 3, 4, 5]
      )
    })
  )
})
