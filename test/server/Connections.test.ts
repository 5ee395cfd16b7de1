import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { UNIQUE_ID_BYTES_MAX } from "../../src/proxyproto/ProxyHeaderV2.ts"
import type { ConnectionFilter } from "../../src/server/ConnectionView.ts"
import { FakeConnection } from "../pipeline/FakeConnection.ts"
import { LOCAL, forAll, hello, hostname, makeWorld } from "../pipeline/World.ts"
import { address } from "../proxyproto/ProxyHeaders.ts"
import { outcomesOf } from "./Plane.ts"

it.effect("knows every connection from its accept to the end of its fiber, in order", () =>
  Effect.gen(function* () {
    yield* TestClock.adjust(1234)
    const { connections, network, ...world } = yield* makeWorld()
    const first = world.connect()
    const second = world.connect(hello("git.example.net"))
    assert.deepStrictEqual([...connections.all()], [first.live, second.live])
    assert.strictEqual(connections.get(second.live.id), second.live)
    assert.strictEqual(connections.size, 2)
    assert.deepInclude(first.live, { listener: ":443", openedAt: 1234, acceptedAt: network.now() })

    first.socket.fail()
    assert.deepStrictEqual([...connections.all()], [second.live])
    assert.isUndefined(connections.get(first.live.id))
  })
)

it.effect("gives ids that no other run gives, fit to be read out", () =>
  Effect.gen(function* () {
    const { connections, ...world } = yield* makeWorld()
    const add = (registry: typeof connections) => {
      const live = registry.add(":443", world.open())
      registry.remove(live)
      return live.id
    }
    const ids = new Set(Array.from({ length: 5000 }, () => add(connections)))
    for (const id of ids) assert.match(id, /^[0-9a-z]{8}-[0-9a-z]{1,4}$/)
    assert.strictEqual(ids.size, 5000)
    assert.isBelow("12345678".length + 1 + Number.MAX_SAFE_INTEGER.toString(36).length, UNIQUE_ID_BYTES_MAX)

    const another = (yield* makeWorld()).connections
    for (let i = 0; i < 100; i++) assert.isFalse(ids.has(add(another)))
  })
)

it.effect("lets anyone wait until none is left", () =>
  Effect.gen(function* () {
    const { connections, ...world } = yield* makeWorld()
    yield* connections.awaitNone
    const [first, second] = [world.connect(), world.connect()]
    const waiting = [
      yield* Effect.forkChild(connections.awaitNone, { startImmediately: true }),
      yield* Effect.forkChild(connections.awaitNone, { startImmediately: true })
    ]
    first.socket.fail()
    yield* Effect.yieldNow
    assert.isTrue(waiting.every((fiber) => fiber.pollUnsafe() === undefined))
    second.socket.fail()
    yield* Fiber.joinAll(waiting)
    yield* connections.awaitNone
  })
)

it.effect("ends all there are, and none that comes later", () =>
  Effect.gen(function* () {
    const { connections, ...world } = yield* makeWorld()
    world.connect()
    world.connect(hello("git.example.net"))
    connections.endAll("closed_by_admin")
    world.connect()
    assert.deepStrictEqual(outcomesOf(world.entries), ["closed_by_admin", "closed_by_admin"])
    assert.strictEqual(connections.size, 1)
  })
)

it.effect("ends as shutdown what is left when it is closed, and waits until that has ended", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { connections, ...world } = yield* Scope.provide(makeWorld(), scope)
    const relayed = world.connect(hello("git.example.net"))
    world.answerDial()
    const notServed = connections.add(":443", world.open())
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
    assert.deepStrictEqual(outcomesOf(world.entries), ["shutdown"])
    assert.strictEqual(relayed.socket.end, "reset")
    yield* Effect.yieldNow
    assert.isUndefined(closing.pollUnsafe())
    connections.remove(notServed)
    yield* Fiber.join(closing)
  })
)

describe("the list", () => {
  const ALL = { listener: "", hostname: "", clientIp: "", limit: 10 }

  it.effect("has the newest first, as many as are asked for", () =>
    Effect.gen(function* () {
      const { connections, ...world } = yield* makeWorld()
      const [first, second, third] = [world.connect(), world.connect(), world.connect()]
      const ids = Effect.fnUntraced(function* (filter: Partial<ConnectionFilter>) {
        return (yield* connections.list({ ...ALL, ...filter })).map(({ id }) => id)
      })
      assert.deepStrictEqual(yield* ids({}), [third.live.id, second.live.id, first.live.id])
      assert.deepStrictEqual(yield* ids({ limit: 2 }), [third.live.id, second.live.id])
      assert.deepStrictEqual(yield* ids({ limit: 0 }), [])
      second.socket.fail()
      assert.deepStrictEqual(yield* ids({}), [third.live.id, first.live.id])
      assert.strictEqual(connections.openedTotal, 3)
    })
  )

  it.effect("has those that the filter names, by listener, hostname and client", () =>
    forAll(
      fc.array(
        fc.record({
          listener: fc.constantFrom(":443", ":8443"),
          hostname: fc.constantFrom(undefined, hostname("a.test"), hostname("b.test")),
          peer: fc.constantFrom(undefined, "192.0.2.1", "192.0.2.2"),
          client: fc.constantFrom(undefined, "192.0.2.1", "192.0.2.2")
        })
      ),
      50,
      Effect.fnUntraced(function* (all) {
        const { connections, network } = yield* makeWorld()
        const at = (ip: string | undefined) => (ip === undefined ? undefined : address(ip, 1))
        const lives = all.map((one) => {
          const live = connections.add(one.listener, new FakeConnection(network, at(one.peer), LOCAL))
          const client = at(one.client)
          live.known = { ...(client && { client }), ...(one.hostname && { hostname: one.hostname }) }
          return { ...one, clientIp: one.client ?? one.peer ?? "", live }
        })
        for (const listener of ["", ":443"]) {
          for (const name of ["", "a.test"]) {
            for (const clientIp of ["", "192.0.2.1"]) {
              const listed = yield* connections.list({ listener, hostname: name, clientIp, limit: 1000 })
              const expected = lives.filter(
                (one) =>
                  [one.listener, ""].includes(listener) &&
                  [one.hostname, ""].includes(name) &&
                  [one.clientIp, ""].includes(clientIp)
              )
              assert.deepStrictEqual(
                listed.map(({ id }) => id),
                expected.toReversed().map(({ live }) => live.id)
              )
            }
          }
        }
        for (const { live } of lives) connections.remove(live)
      })
    )
  )

  it.effect("lets others have their turn however many there are, and leaves out who has gone meanwhile", () =>
    Effect.gen(function* () {
      const { connections, ...world } = yield* makeWorld()
      const lives = Array.from({ length: 5000 }, () => connections.add(":443", world.open()))
      const listing = yield* Effect.forkChild(connections.list({ ...ALL, limit: 5000 }), { startImmediately: true })
      let turns = 0
      for (; listing.pollUnsafe() === undefined; turns++) {
        if (turns === 0) connections.remove(lives[0]!)
        yield* Effect.yieldNow
      }
      assert.isAtLeast(turns, 4)
      assert.deepStrictEqual(
        (yield* Fiber.join(listing)).map(({ id }) => id),
        lives
          .slice(1)
          .toReversed()
          .map(({ id }) => id)
      )
      for (const live of connections.all()) connections.remove(live)
    })
  )
})
