import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { UNIQUE_ID_BYTES_MAX } from "../../src/proxyproto/ProxyHeaderV2.ts"
import { hello, makeWorld } from "../pipeline/World.ts"
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
