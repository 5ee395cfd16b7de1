import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Result, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"
import { DescriptorBudget, type ClientPlace } from "../../src/net/DescriptorBudget.ts"
import { Dialer } from "../../src/net/Dialer.ts"
import { parseIpAddress, type IpAddress } from "../../src/net/IpAddress.ts"
import { Network } from "../../src/net/Network.ts"
import { formatSocketAddress } from "../../src/net/SocketAddress.ts"
import { parseBackendAddress } from "../../src/snapshot/Endpoint.ts"
import { StubNetwork } from "./StubNetwork.ts"

const SOCKETS_MAX = 100

const layer = Dialer.layer.pipe(
  Layer.provideMerge(StubNetwork.layer),
  Layer.provideMerge(DescriptorBudget.layer(SOCKETS_MAX))
)

const ips = (...texts: ReadonlyArray<string>): ReadonlyArray<IpAddress> => texts.map((text) => parseIpAddress(text)!)

const takePlace = Effect.map(DescriptorBudget, (budget) => {
  const place = budget.take()
  assert.isDefined(place)
  return place
})

/** How many more clients the budget would take now. */
const placesLeft = Effect.map(DescriptorBudget, (budget) => {
  const places: Array<ClientPlace> = []
  for (let place = budget.take(); place !== undefined; place = budget.take()) places.push(place)
  for (const place of places) place.release()
  return places.length
})

/** Dials for a client of its own, in a fiber that has done what it can at once. */
const start = Effect.fnUntraced(function* (backend: string, timeoutMs: number = 5_000) {
  const dialer = yield* Dialer
  const network = yield* Network
  const place = yield* takePlace
  const address = Result.getOrThrow(parseBackendAddress(backend))
  const dialling = yield* Effect.forkScoped(dialer.dial(address, network.now() + timeoutMs, place))
  yield* settle
  return dialling
})

/** Lets every fiber do what it can without time passing. */
const settle = TestClock.adjust(0)

const addressesOf = Effect.map(StubNetwork, ({ dials }) => dials.map(({ address }) => address))
const statesOf = Effect.map(StubNetwork, ({ dials }) => dials.map(({ state }) => state))

const assertConnectedTo = Effect.fnUntraced(function* (dialling: Effect.Success<ReturnType<typeof start>>, to: string) {
  assert.strictEqual(formatSocketAddress((yield* Fiber.join(dialling)).peer!), to)
})

const lookupOf = Effect.fnUntraced(function* (index: number) {
  const { lookups } = yield* StubNetwork
  assert.isAbove(lookups.length, index)
  return lookups[index]!
})

const dialOf = Effect.fnUntraced(function* (index: number) {
  const { dials } = yield* StubNetwork
  assert.isAbove(dials.length, index)
  return dials[index]!
})

const lookupCount = Effect.map(StubNetwork, ({ lookups }) => lookups.length)

describe("look-ups", () => {
  it.effect("are not made for a literal address", () =>
    Effect.gen(function* () {
      const dialling = yield* start("[2001:db8::1]:443")
      yield* (yield* dialOf(0)).succeed
      yield* assertConnectedTo(dialling, "[2001:db8::1]:443")
      assert.strictEqual(yield* lookupCount, 0)
    }).pipe(Effect.provide(layer))
  )

  it.effect("are shared by all who ask for the name meanwhile, whatever port they want", () =>
    Effect.gen(function* () {
      const one = yield* start("name.test:1")
      const two = yield* start("name.test:2")
      assert.strictEqual(yield* lookupCount, 1)
      yield* (yield* lookupOf(0)).succeed(ips("10.0.0.1"))
      yield* settle
      yield* (yield* dialOf(0)).succeed
      yield* (yield* dialOf(1)).succeed
      yield* assertConnectedTo(one, "10.0.0.1:1")
      yield* assertConnectedTo(two, "10.0.0.1:2")
    }).pipe(Effect.provide(layer))
  )

  it.effect("go on for the others when the caller who began one leaves", () =>
    Effect.gen(function* () {
      const first = yield* start("name.test:1")
      const second = yield* start("name.test:1")
      yield* Fiber.interrupt(first)
      yield* (yield* lookupOf(0)).succeed(ips("10.0.0.1"))
      yield* settle
      yield* (yield* dialOf(0)).succeed
      yield* assertConnectedTo(second, "10.0.0.1:1")
      assert.strictEqual(yield* lookupCount, 1)
      assert.deepStrictEqual(yield* statesOf, ["open"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("are used for 5 s from their answer, and not longer", () =>
    Effect.gen(function* () {
      yield* start("name.test:1", 60_000)
      yield* TestClock.adjust(3_000)
      yield* (yield* lookupOf(0)).succeed(ips("10.0.0.1"))
      yield* TestClock.adjust(4_999)
      yield* start("name.test:1")
      assert.strictEqual(yield* lookupCount, 1)
      assert.deepStrictEqual(yield* addressesOf, ["10.0.0.1:1", "10.0.0.1:1"])
      yield* TestClock.adjust(1)
      yield* start("name.test:1")
      assert.strictEqual(yield* lookupCount, 2)
    }).pipe(Effect.provide(layer))
  )

  it.effect("that failed are used for 5 s, too, and give their reason", () =>
    Effect.gen(function* () {
      const first = yield* start("name.test:1")
      yield* (yield* lookupOf(0)).fail("name.test has no address")
      assert.deepStrictEqual(yield* Effect.flip(Fiber.join(first)), {
        _tag: "dial_failed",
        reason: "name.test has no address"
      })
      yield* TestClock.adjust(4_999)
      assert.strictEqual((yield* Effect.flip(Fiber.join(yield* start("name.test:1"))))._tag, "dial_failed")
      assert.strictEqual(yield* lookupCount, 1)
      yield* TestClock.adjust(1)
      yield* start("name.test:1")
      assert.strictEqual(yield* lookupCount, 2)
      assert.deepStrictEqual(yield* addressesOf, [])
    }).pipe(Effect.provide(layer))
  )

  it.effect("are at most twelve at once, and the others wait in order", () =>
    Effect.gen(function* () {
      const { lookups } = yield* StubNetwork
      const names = Array.from({ length: 14 }, (_, i) => `name-${i}.test`)
      const namesAsked = () => lookups.map(({ name }) => name)
      for (const name of names) yield* start(`${name}:1`)
      assert.deepStrictEqual(namesAsked(), names.slice(0, 12))
      yield* (yield* lookupOf(1)).succeed(ips("10.0.0.1"))
      yield* settle
      assert.deepStrictEqual(namesAsked(), names.slice(0, 13))
      yield* (yield* lookupOf(3)).fail("nobody answered")
      yield* settle
      assert.deepStrictEqual(namesAsked(), names)
    }).pipe(Effect.provide(layer))
  )

  it.effect("of a dead resolver delay no literal address", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 14; i++) yield* start(`name-${i}.test:1`)
      const literal = yield* start("10.0.0.1:1")
      yield* (yield* dialOf(0)).succeed
      yield* assertConnectedTo(literal, "10.0.0.1:1")
    }).pipe(Effect.provide(layer))
  )

  it.effect("are asked for again when the caller is interrupted at any step of asking", () =>
    Effect.gen(function* () {
      for (let steps = 0; steps < 40; steps++) {
        const name = `name-${steps}.test:1`
        const dialer = yield* Dialer
        const place = yield* takePlace
        const backend = Result.getOrThrow(parseBackendAddress(name))
        // A scheduler that lets others run after every few operations lets them interrupt there, too.
        const caller = yield* dialer
          .dial(backend, 60_000, place)
          .pipe(Effect.scoped, Effect.forkChild, Effect.provideService(Scheduler.MaxOpsBeforeYield, 3))
        yield* Effect.replicateEffect(Effect.yieldNow, steps)
        yield* Fiber.interrupt(caller)
        place.release()
        const before = yield* addressesOf
        const again = yield* start(name)
        const { lookups } = yield* StubNetwork
        yield* lookups.at(-1)!.succeed(ips("10.0.0.1"))
        yield* settle
        assert.strictEqual((yield* addressesOf).length, before.length + 1)
        yield* Fiber.interrupt(again)
      }
    }).pipe(Effect.provide(layer))
  )
})

describe("addresses of a name", () => {
  /** A dial of a name that has these addresses. */
  const startWith = Effect.fnUntraced(function* (...addresses: ReadonlyArray<string>) {
    const dialling = yield* start("name.test:1")
    yield* (yield* lookupOf(0)).succeed(ips(...addresses))
    yield* settle
    return dialling
  })

  it.effect("are tried 250 ms one after the other, the families by turns", () =>
    Effect.gen(function* () {
      yield* startWith("2001:db8::1", "2001:db8::2", "2001:db8::3", "10.0.0.1", "10.0.0.2")
      const expected = ["[2001:db8::1]:1", "10.0.0.1:1", "[2001:db8::2]:1", "10.0.0.2:1", "[2001:db8::3]:1"]
      for (let tried = 1; tried <= expected.length; tried++) {
        assert.deepStrictEqual(yield* addressesOf, expected.slice(0, tried))
        yield* TestClock.adjust(249)
        assert.strictEqual((yield* addressesOf).length, tried)
        yield* TestClock.adjust(1)
      }
      const { dials } = yield* StubNetwork
      assert.deepStrictEqual(
        dials.map(({ at }) => at),
        [0, 250, 500, 750, 1000]
      )
    }).pipe(Effect.provide(layer))
  )

  it.effect("begin with the family that the resolver prefers, and go on with what is left of the longer one", () =>
    Effect.gen(function* () {
      yield* startWith("10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8::3")
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* addressesOf, [
        "10.0.0.1:1",
        "[2001:db8::1]:1",
        "[2001:db8::2]:1",
        "[2001:db8::3]:1"
      ])
    }).pipe(Effect.provide(layer))
  )

  it.effect("are at most eight", () =>
    Effect.gen(function* () {
      yield* startWith(...Array.from({ length: 12 }, (_, i) => `10.0.0.${i}`))
      yield* TestClock.adjust(4000)
      assert.strictEqual((yield* addressesOf).length, 8)
    }).pipe(Effect.provide(layer))
  )

  it.effect("are tried at once when the one before has failed, and the next 250 ms after that", () =>
    Effect.gen(function* () {
      yield* startWith("10.0.0.1", "10.0.0.2", "10.0.0.3")
      yield* TestClock.adjust(100)
      yield* (yield* dialOf(0)).fail("refused")
      yield* settle
      assert.deepStrictEqual(yield* addressesOf, ["10.0.0.1:1", "10.0.0.2:1"])
      yield* TestClock.adjust(249)
      assert.strictEqual((yield* addressesOf).length, 2)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* dialOf(2)).at, 350)
    }).pipe(Effect.provide(layer))
  )

  it.effect("are left when one has answered: the others are cancelled and give their sockets back", () =>
    Effect.gen(function* () {
      const before = yield* placesLeft
      const dialling = yield* startWith("10.0.0.1", "10.0.0.2", "10.0.0.3")
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(yield* statesOf, ["waiting", "waiting", "waiting"])
      yield* (yield* dialOf(1)).succeed
      yield* assertConnectedTo(dialling, "10.0.0.2:1")
      assert.deepStrictEqual(yield* statesOf, ["cancelled", "open", "cancelled"])
      yield* TestClock.adjust(1000)
      assert.strictEqual((yield* addressesOf).length, 3)
      // The client and its backend hold two sockets, of which each client needs two.
      assert.strictEqual(yield* placesLeft, before - 1)
    }).pipe(Effect.provide(layer))
  )

  it.effect("that all fail give the last one's reason", () =>
    Effect.gen(function* () {
      const dialling = yield* startWith("10.0.0.1", "10.0.0.2")
      yield* TestClock.adjust(250)
      yield* (yield* dialOf(1)).fail("unreachable")
      yield* settle
      yield* (yield* dialOf(0)).fail("refused")
      assert.deepStrictEqual(yield* Effect.flip(Fiber.join(dialling)), { _tag: "dial_failed", reason: "refused" })
    }).pipe(Effect.provide(layer))
  )

  it.effect("have until the deadline, the look-up included", () =>
    Effect.gen(function* () {
      const dialling = yield* start("name.test:1", 1000)
      yield* TestClock.adjust(600)
      yield* (yield* lookupOf(0)).succeed(ips("10.0.0.1", "10.0.0.2"))
      yield* TestClock.adjust(399)
      assert.isUndefined(dialling.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Effect.flip(Fiber.join(dialling)))._tag, "dial_timeout")
      assert.deepStrictEqual(yield* statesOf, ["failed", "failed"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("that never come are a dial_timeout at the deadline", () =>
    Effect.gen(function* () {
      const dialling = yield* start("name.test:1", 1000)
      yield* TestClock.adjust(999)
      assert.isUndefined(dialling.pollUnsafe())
      yield* TestClock.adjust(1)
      const error = yield* Effect.flip(Fiber.join(dialling))
      assert.deepStrictEqual(error, { _tag: "dial_timeout", reason: "no answer for the name name.test" })
    }).pipe(Effect.provide(layer))
  )
})

describe("the sockets of a dial", () => {
  it.effect("stay open and counted until the scope closes, and the connection goes first", () =>
    Effect.gen(function* () {
      const dialer = yield* Dialer
      const place = yield* takePlace
      const before = yield* placesLeft
      for (const backend of ["10.0.0.1:1", "name.test:1"]) {
        const scope = yield* Scope.make()
        const dialling = yield* dialer
          .dial(Result.getOrThrow(parseBackendAddress(backend)), 60_000, place)
          .pipe(Scope.provide(scope), Effect.forkScoped)
        yield* settle
        const { dials, lookups } = yield* StubNetwork
        yield* lookups.at(-1)?.succeed(ips("10.0.0.1")) ?? Effect.void
        yield* settle
        yield* dials.at(-1)!.succeed
        yield* Fiber.join(dialling)
        yield* TestClock.adjust(1000)
        assert.strictEqual(dials.at(-1)!.state, "open")
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(dials.at(-1)!.state, "closed")
        assert.strictEqual(yield* placesLeft, before)
      }
    }).pipe(Effect.provide(layer))
  )

  it.effect("are given back when the caller leaves, be it while it looks up or dials", () =>
    Effect.gen(function* () {
      const { lookups } = yield* StubNetwork
      const before = yield* placesLeft
      yield* Fiber.interrupt(yield* start("name.test:1"))
      const dialling = yield* start("name.test:1")
      yield* lookups[0]!.succeed(ips("10.0.0.1", "10.0.0.2"))
      yield* TestClock.adjust(250)
      yield* Fiber.interrupt(dialling)
      assert.deepStrictEqual(yield* statesOf, ["cancelled", "cancelled"])
      // Two clients are still there, each of them with a backend's socket kept for it.
      assert.strictEqual(yield* placesLeft, before - 2)
    }).pipe(Effect.provide(layer))
  )

  it.effect("that the budget has not are refused as descriptors, and nothing is dialled", () =>
    Effect.gen(function* () {
      const place: ClientPlace = { takeBackend: () => false, releaseBackend: () => {}, release: () => {} }
      const dialer = yield* Dialer
      for (const backend of ["10.0.0.1:1", "name.test:1"]) {
        const dialling = yield* dialer
          .dial(Result.getOrThrow(parseBackendAddress(backend)), 60_000, place)
          .pipe(Effect.scoped, Effect.forkChild)
        yield* settle
        const { lookups } = yield* StubNetwork
        yield* lookups.at(-1)?.succeed(ips("10.0.0.1", "10.0.0.2")) ?? Effect.void
        assert.strictEqual((yield* Effect.flip(Fiber.join(dialling)))._tag, "descriptors")
      }
      assert.deepStrictEqual(yield* addressesOf, [])
    }).pipe(Effect.provide(layer))
  )

  it.effect("that the budget has not for a second attempt leave the first one trying", () =>
    Effect.gen(function* () {
      const scarce = Layer.fresh(DescriptorBudget.layer(2))
      yield* Effect.gen(function* () {
        const dialling = yield* start("name.test:1")
        yield* (yield* lookupOf(0)).succeed(ips("10.0.0.1", "10.0.0.2"))
        yield* TestClock.adjust(1000)
        assert.deepStrictEqual(yield* statesOf, ["waiting"])
        yield* (yield* dialOf(0)).succeed
        yield* assertConnectedTo(dialling, "10.0.0.1:1")
      }).pipe(Effect.provide(Layer.merge(Dialer.layer, scarce).pipe(Layer.provideMerge(StubNetwork.layer))))
    })
  )
})
