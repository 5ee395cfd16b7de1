import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { assertNothingHeld, assertOutcome, assertServing, closedOf, hello, makeWorld, watchRelease } from "./World.ts"

it.effect("takes as many connections as the listener may have, and another when one has ended", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ listener: { maxConnections: 2 } })
    const room = world.room()
    const first = world.connect()
    const second = world.connect()
    assertOutcome(world, world.connect(), "max_connections")
    assertOutcome(world, world.connect(), "max_connections")
    first.socket.fail()
    const next = world.connect()
    assertServing(world, second)
    assertServing(world, next)
    assertOutcome(world, world.connect(), "max_connections")

    world.connections.endAll("shutdown")
    assert.deepStrictEqual(closedOf(world), { max_connections: 3, reset: 1, shutdown: 2 })
    assertNothingHeld(world, room)
  })
)

it.effect("counts a relayed connection against the listener until it ends", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ listener: { maxConnections: 1 } })
    world.connect(hello("git.example.net"))
    world.answerDial()
    assertOutcome(world, world.connect(), "max_connections")
    world.network.relays[0]!.end(Effect.succeed("done"))
    assertServing(world, world.connect())
  })
)

it.effect("keeps a backend's socket for each client that waits for one", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ socketsMax: 5 })
    const room = world.room()
    const first = world.connect(hello("git.example.net"))
    const second = world.connect(hello("git.example.net"))
    assertOutcome(world, world.connect(), "descriptors")
    world.answerDial()
    world.network.dials[0]!.answer(Effect.fail({ _tag: "dial_failed", reason: "refused" }))
    assertOutcome(world, first, "dial_failed")
    assertServing(world, second)
    assertServing(world, world.connect())
    assertOutcome(world, world.connect(), "descriptors")

    world.connections.endAll("shutdown")
    assertNothingHeld(world, room)
  })
)

it.effect("gives the descriptor back when the socket that had it is closed", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const socket = world.open()
    const released = watchRelease(world, socket)
    world.accept(socket)
    assert.isUndefined(released.end)
    socket.fail()
    assert.strictEqual(released.end, "reset")
  })
)

it.effect("leaves the listener's quota alone when there is no descriptor", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ socketsMax: 2, listener: { maxConnections: 2 } })
    const first = world.connect()
    for (let i = 0; i < 3; i++) assertOutcome(world, world.connect(), "descriptors")
    first.socket.fail()
    assertServing(world, world.connect())
    assertOutcome(world, world.connect(), "descriptors")
  })
)

it.effect("refuses a client at the limit before it looks at anything of it", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ listener: { maxConnections: 1 } })
    world.connect()
    world.setRules([{ type: "ip", value: "203.0.113.7" }])
    const refused = world.connect(hello("git.example.net"))
    assertOutcome(world, refused, "max_connections")
    assert.strictEqual(refused.socket.peeks, 0)
  })
)

it.effect("resets a client for whose backend no descriptor is left", () =>
  Effect.gen(function* () {
    // So many that sockets are kept for only 256 of those that wait.
    const world = yield* makeWorld({ socketsMax: 600 })
    const room = world.room()
    const others = Array.from({ length: 343 }, () => world.budget.take()!)
    const connected = world.connect()
    assert.isTrue(others.slice(0, 256).every((place) => place.takeBackend()))
    connected.socket.send(hello("git.example.net"))
    assertOutcome(world, connected, "descriptors")
    assert.lengthOf(world.network.dials, 0)
    assert.deepInclude(world.entries[0], { backend: "192.0.2.10:18443", mode: "l4", dialMs: undefined })

    for (const place of others.slice(0, 256)) place.releaseBackend()
    for (const place of others) place.release()
    assertNothingHeld(world, room)
  })
)
