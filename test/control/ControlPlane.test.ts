import { assert, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Result } from "effect"
import * as fc from "fast-check"
import { InvalidArgument } from "../../src/admin/AdminError.ts"
import { ControlPlane, MUTATIONS_WAITING_MAX, type Decide } from "../../src/control/ControlPlane.ts"
import { Drain } from "../../src/control/Drain.ts"
import { Follower } from "../../src/control/Follower.ts"
import { StateIndex } from "../../src/control/StateIndex.ts"
import { apply, EMPTY, type Change, type State } from "../../src/snapshot/Change.ts"
import type { Snapshot } from "../../src/snapshot/Snapshot.ts"
import { DatabaseError } from "../../src/store/DatabaseError.ts"
import { SimStore, type Statement, type StoreFault } from "../../src/store/SimStore.ts"
import { Conflict, Store, WriteFailed } from "../../src/store/Store.ts"
import { SimRuntime } from "../../src/testing/SimRuntime.ts"
import { l4, listenerOf, randomChange, randomState } from "../store/RandomState.ts"
import { FakeFollower } from "./FakeFollower.ts"

const makeControl = Effect.fnUntraced(function* (
  state: State,
  wrap: (store: Store["Service"]) => Store["Service"] = (store) => store,
  faultAt?: (statement: Statement) => StoreFault | undefined
) {
  const follower = new FakeFollower()
  const disk = new SimStore(state, faultAt)
  const services = yield* Layer.build(
    ControlPlane.layer.pipe(
      Layer.provide(Layer.succeed(Store, wrap(disk.open()))),
      Layer.provide(Layer.succeed(Follower, follower.service)),
      Layer.provideMerge(Drain.layer)
    )
  )
  return { control: Context.get(services, ControlPlane), drain: Context.get(services, Drain), follower, disk }
})

/** A mutation that makes `change`; refused where `change` cannot be applied. */
const making =
  <A>(change: Change, answer: A): Decide<A, InvalidArgument> =>
  (state) =>
    Result.mapBoth(state.apply(change), {
      onFailure: (message) => new InvalidArgument({ message }),
      onSuccess: () => ({ change, answer })
    })

const putRoute = (name: string): Change => [{ _tag: "PutRoute", listener: ":1", route: l4(name) }]

const ONE_LISTENER: State = { ...EMPTY, listeners: [listenerOf(":1")] }

const sorted = ({ firewallRules, listeners }: State) => ({
  firewallRules: [...firewallRules].map(({ type, value }) => `${type} ${value}`).toSorted(),
  listeners: listeners
    .map((listener) => ({
      ...listener,
      routes: listener.routes.toSorted((a, b) => (a.hostname < b.hostname ? -1 : 1))
    }))
    .toSorted((a, b) => (a.addr < b.addr ? -1 : 1))
})

/** Memory, database and data plane say the same. */
const assertAgreed = ({ control, disk, follower }: Effect.Success<ReturnType<typeof makeControl>>): Snapshot => {
  const { stored } = disk
  const { revision, ...state } = stored
  assert.strictEqual(control.current.revision, revision)
  assert.deepStrictEqual(control.current.state.toState(), state)
  assert.deepStrictEqual(sorted(follower.state), sorted(state))
  assert.strictEqual(follower.revision, revision)
  assert.deepStrictEqual([...follower.bound].toSorted(), state.listeners.map(({ addr }) => addr).toSorted())
  return stored
}

it.effect("puts the stored state in force before it takes mutations", () =>
  Effect.gen(function* () {
    const state = { ...EMPTY, listeners: [listenerOf(":1", l4("a.test")), listenerOf(":2")] }
    const made = yield* makeControl(state)
    assert.deepStrictEqual(made.follower.state, state)
    assertAgreed(made)
  })
)

it.effect("makes of any mutations what a plain model makes of them, one revision for each that changes something", () =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(
        randomState,
        fc.array(randomChange, { maxLength: 12 }),
        fc.boolean(),
        (state, changes, together) =>
          Effect.gen(function* () {
            const made = yield* makeControl(state)
            const exits = yield* Effect.forEach(
              changes,
              (change, i) => Effect.exit(made.control.mutate(making(change, i))),
              { concurrency: together ? "unbounded" : 1 }
            )
            let model = state
            let revision = 1
            for (const [i, change] of changes.entries()) {
              const wanted = apply(model, change)
              assert.strictEqual(Exit.isSuccess(exits[i]!), Result.isSuccess(wanted))
              if (Result.isFailure(wanted)) continue
              assert.deepStrictEqual(exits[i], Exit.succeed(i))
              model = wanted.success
              if (change.length > 0) revision++
            }
            const stored = assertAgreed(made)
            assert.deepStrictEqual(stored, { revision, ...model })
          }).pipe(Effect.scoped, Effect.runPromise)
      )
    )
  )
)

/** Each fault is logged. */
const SILENT = Logger.layer([])

const fault = fc.oneof(
  fc.constant(undefined),
  fc.record({ step: fc.constantFrom("begin", "edit", "commit"), fault: fc.constant<StoreFault>({ _tag: "Failed" }) }),
  fc.record({ step: fc.constant("commit"), fault: fc.boolean().map((done): StoreFault => ({ _tag: "Unknown", done })) })
)

it.effect("agrees with the database after any faults, and has what it answered and nothing that it refused", () =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 5 }), { maxLength: 12 }),
        fc.array(fault, { maxLength: 12 }),
        fc.array(fc.boolean(), { maxLength: 3 }),
        fc.boolean(),
        (names, faults, loads, together) =>
          Effect.gen(function* () {
            const left = [...faults]
            const failingLoads = [false, ...loads]
            const made = yield* makeControl(ONE_LISTENER, undefined, ({ step }) => {
              if (step === "load") return failingLoads.shift() === true ? { _tag: "Failed" } : undefined
              if (step === left[0]?.step) return left.shift()?.fault
              // A commit without a fault.
              if (step === "commit" && left[0] === undefined) left.shift()
              return undefined
            })
            const exits = yield* Effect.forEach(
              names,
              (name, i) => Effect.exit(made.control.mutate(making(putRoute(`r${i}-${name}.test`), i))),
              { concurrency: together ? "unbounded" : 1 }
            )
            // Without the faults that are left over this goes through, and makes sure that the state was read again.
            left.length = 0
            failingLoads.length = 0
            yield* made.control.mutate(making(putRoute("last.test"), 0))
            const { listeners } = assertAgreed(made)
            const stored = new Set<string>(listeners[0]!.routes.map(({ hostname }) => hostname))
            for (const [i, name] of names.entries()) {
              const exit = exits[i]!
              const text = Exit.isFailure(exit) ? String(exit.cause) : ""
              if (Exit.isSuccess(exit)) assert.isTrue(stored.has(`r${i}-${name}.test`))
              else if (text.includes("nothing was changed")) assert.isFalse(stored.has(`r${i}-${name}.test`))
              else assert.include(text, "is not known")
            }
          }).pipe(Effect.scoped, Effect.provide(SILENT), Effect.runPromise)
      )
    )
  )
)

const caller = fc.record({
  atMs: fc.nat({ max: 40 }),
  staysMs: fc.oneof(fc.constant(Infinity), fc.nat({ max: 40 }))
})

it("has in force what it has stored, whenever callers go away and however slow the disk is", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.array(caller, { maxLength: 12, size: "max" }),
      fc.array(fc.nat({ max: 15 }), { minLength: 1, maxLength: 12, size: "max" }),
      (seed, callers, delaysMs) => {
        const program = Effect.gen(function* () {
          const slow = ({ number }: Statement): StoreFault => ({
            _tag: "Slow",
            ms: delaysMs[number % delaysMs.length]!
          })
          const made = yield* makeControl(ONE_LISTENER, undefined, slow)
          const ask = ({ atMs, staysMs }: (typeof callers)[number], i: number) =>
            made.control
              .mutate(making(putRoute(`r${i}.test`), i))
              .pipe(Effect.timeoutOption(staysMs), Effect.delay(atMs))
          const answers = yield* Effect.forEach(callers, ask, { concurrency: "unbounded" })
          yield* made.control.mutate(making(putRoute("last.test"), 0))
          const { listeners } = assertAgreed(made)
          const stored = listeners[0]!.routes.map(({ hostname }) => String(hostname))
          for (const [i, answer] of answers.entries()) if (Option.isSome(answer)) assert.include(stored, `r${i}.test`)
        })
        const exit = new SimRuntime({ seed, shuffled: true }).run(Effect.scoped(program))
        assert.isTrue(Exit.isSuccess(exit), String(exit))
      }
    )
  )
})

it.effect("refuses a listener that cannot be bound, and stores nothing of it", () =>
  Effect.gen(function* () {
    const made = yield* makeControl(ONE_LISTENER)
    made.follower.taken.add(":2")
    const { routes: _, ...listener } = listenerOf(":2")
    const before = made.disk.stored
    const error = yield* Effect.flip(made.control.mutate(making([{ _tag: "PutListener", listener }], 0)))
    assert.strictEqual(error._tag, "FailedPrecondition")
    assert.include(error.message, ":2 is in use")
    assert.deepStrictEqual(assertAgreed(made), before)
  })
)

it.effect("closes a listener again whose commit failed", () =>
  Effect.gen(function* () {
    const made = yield* makeControl(ONE_LISTENER, undefined, ({ step }) =>
      step === "commit" ? { _tag: "Failed" } : undefined
    )
    const { routes: _, ...listener } = listenerOf(":2")
    const error = yield* Effect.flip(made.control.mutate(making([{ _tag: "PutListener", listener }], 0)))
    assert.strictEqual(error._tag, "Internal")
    assertAgreed(made)
  })
)

it.effect("reads the state again that another program has changed, and then goes on", () =>
  Effect.gen(function* () {
    let meddle = true
    const made = yield* makeControl(ONE_LISTENER, (store) => ({
      load: store.load,
      commit: (expected, changes) =>
        Effect.suspend(() => {
          const others = meddle ? [store.commit(expected, [putRoute("others.test")])] : []
          meddle = false
          return Effect.andThen(Effect.all(others), store.commit(expected, changes))
        })
    }))
    const error = yield* Effect.flip(made.control.mutate(making(putRoute("a.test"), 0)))
    assert.strictEqual(error._tag, "Internal")
    assert.include(error.message, "nothing was changed")
    assert.isDefined(made.control.current.state.route(":1", "others.test"))
    yield* made.control.mutate(making(putRoute("a.test"), 0))
    assert.strictEqual(assertAgreed(made).revision, 3)
  })
)

it.effect("says what another program has made of the database when that cannot be read, to its log, too", () => {
  const logged: Array<unknown> = []
  return Effect.gen(function* () {
    let meddled = false
    const made = yield* makeControl(ONE_LISTENER, (store) => ({
      load: Effect.suspend(() => (meddled ? DatabaseError.of("mc-proxy.db", "has a bad row") : store.load)),
      commit: (expected) =>
        Effect.suspend(() => {
          meddled = true
          return new Conflict({ expected, actual: expected + 1 })
        })
    }))
    const error = yield* Effect.flip(made.control.mutate(making(putRoute("a.test"), 0)))
    const conflict = "the database is at revision 2, and no longer at 1: another program has changed it"
    assert.strictEqual(error.message, `${conflict}; mc-proxy.db: has a bad row; nothing was changed`)
    assert.deepStrictEqual(logged, [["a commit failed"]])
  }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))])))
})

/** A store whose commits wait to be let through, and that counts them. */
const gated = (store: Store["Service"], gate: Deferred.Deferred<void>, commits: Array<number>): Store["Service"] => ({
  load: store.load,
  commit: (expected, changes) =>
    Effect.andThen(
      Effect.andThen(
        Effect.sync(() => commits.push(changes.length)),
        Deferred.await(gate)
      ),
      store.commit(expected, changes)
    )
})

it.effect("shares a commit among the mutations that wait while one is under way", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const commits: Array<number> = []
    const made = yield* makeControl(ONE_LISTENER, (store) => gated(store, gate, commits))
    const first = yield* Effect.forkChild(made.control.mutate(making(putRoute("a.test"), "a")))
    while (commits.length === 0) yield* Effect.yieldNow
    const others = yield* Effect.forkChild(
      Effect.forEach(["b", "c", "d"], (name) => made.control.mutate(making(putRoute(`${name}.test`), name)), {
        concurrency: "unbounded"
      })
    )
    yield* Effect.yieldNow
    yield* Deferred.succeed(gate, undefined)
    assert.strictEqual(yield* Fiber.join(first), "a")
    assert.deepStrictEqual(yield* Fiber.join(others), ["b", "c", "d"])
    assert.deepStrictEqual(commits, [1, 3])
    assertAgreed(made)
  })
)

it.effect("waits once for a program that has the database locked, and not once for each mutation", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const commits: Array<number> = []
    const locked = new WriteFailed({ problem: "it is locked", certain: true, locked: true })
    const made = yield* makeControl(ONE_LISTENER, (store) =>
      gated({ load: store.load, commit: () => Effect.fail(locked) }, gate, commits)
    )
    const first = yield* Effect.forkChild(Effect.flip(made.control.mutate(making(putRoute("a.test"), 0))))
    while (commits.length === 0) yield* Effect.yieldNow
    const others = yield* Effect.forkChild(
      Effect.forEach(["b", "c", "d"], (name) => Effect.flip(made.control.mutate(making(putRoute(`${name}.test`), 0))), {
        concurrency: "unbounded"
      })
    )
    yield* Effect.yieldNow
    yield* Deferred.succeed(gate, undefined)
    for (const { message } of [yield* Fiber.join(first), ...(yield* Fiber.join(others))]) {
      assert.strictEqual(message, "it is locked; nothing was changed")
    }
    assert.deepStrictEqual(commits, [1, 3])
    assert.strictEqual(assertAgreed(made).revision, 1)
  })
)

it.effect("finishes a mutation whose caller goes away while it is committed, and does not begin one that waits", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const commits: Array<number> = []
    const made = yield* makeControl(ONE_LISTENER, (store) => gated(store, gate, commits))
    const begun = yield* Effect.forkChild(made.control.mutate(making(putRoute("begun.test"), 0)))
    while (commits.length === 0) yield* Effect.yieldNow
    const waiting = yield* Effect.forkChild(made.control.mutate(making(putRoute("waiting.test"), 0)))
    yield* Effect.yieldNow
    yield* Fiber.interrupt(begun)
    yield* Fiber.interrupt(waiting)
    yield* Deferred.succeed(gate, undefined)
    yield* made.control.mutate(making(putRoute("last.test"), 0))
    const { listeners } = assertAgreed(made)
    assert.deepStrictEqual(
      listeners[0]!.routes.map(({ hostname }) => String(hostname)),
      ["begun.test", "last.test"]
    )
  })
)

it.effect("answers nobody before the change is in force", () =>
  Effect.gen(function* () {
    const made = yield* makeControl(ONE_LISTENER)
    yield* made.control.mutate(making(putRoute("a.test"), 0))
    assert.strictEqual(made.follower.state.listeners[0]!.routes.length, 1)
  })
)

it.effect("takes a bounded number of mutations that wait", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const commits: Array<number> = []
    const made = yield* makeControl(ONE_LISTENER, (store) => gated(store, gate, commits))
    const first = yield* Effect.forkChild(made.control.mutate(making(putRoute("first.test"), 0)))
    while (commits.length === 0) yield* Effect.yieldNow
    const waiting = yield* Effect.forkChild(
      Effect.forEach(
        Array.from({ length: MUTATIONS_WAITING_MAX }, (_, i) => i),
        (i) => made.control.mutate(making(putRoute(`r${i}.test`), i)),
        { concurrency: "unbounded", discard: true }
      )
    )
    yield* Effect.yieldNow
    const error = yield* Effect.flip(made.control.mutate(making(putRoute("over.test"), 0)))
    assert.strictEqual(error._tag, "Unavailable")
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(first)
    yield* Fiber.join(waiting)
    assert.strictEqual(assertAgreed(made).listeners[0]!.routes.length, MUTATIONS_WAITING_MAX + 1)
  })
)

it.effect("refuses mutations once it drains", () =>
  Effect.gen(function* () {
    const made = yield* makeControl(ONE_LISTENER)
    yield* made.drain.begin
    const error = yield* Effect.flip(made.control.mutate(making(putRoute("a.test"), 0)))
    assert.strictEqual(error._tag, "Unavailable")
    assert.strictEqual(assertAgreed(made).revision, 1)
  })
)

it.effect("refuses mutations once it has ended, when nobody would settle them", () =>
  Effect.gen(function* () {
    const { control, disk } = yield* Effect.scoped(makeControl(ONE_LISTENER))
    const asked = yield* Effect.forkChild(Effect.flip(control.mutate(making(putRoute("a.test"), 0))))
    yield* Effect.yieldNow
    const refused = asked.pollUnsafe()
    assert.isTrue(refused !== undefined && Exit.isSuccess(refused) && refused.value._tag === "Unavailable")
    assert.strictEqual(disk.stored.revision, 1)
  })
)

it.effect("survives a mutation that breaks, and says so to its caller alone", () =>
  Effect.gen(function* () {
    const made = yield* makeControl(ONE_LISTENER)
    const broken: Decide<number, never> = () => {
      throw new Error("broken")
    }
    const [bad, good] = yield* Effect.all(
      [Effect.exit(made.control.mutate(broken)), Effect.exit(made.control.mutate(making(putRoute("a.test"), 1)))],
      { concurrency: "unbounded" }
    )
    assert.isTrue(Exit.hasDies(bad))
    assert.deepStrictEqual(good, Exit.succeed(1))
    assert.isDefined(made.control.current.state.route(":1", "a.test"))
    assert.notStrictEqual(made.control.current.state, StateIndex.empty)
    assertAgreed(made)
  })
)
