import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { EVENTS_BUFFERED_MAX } from "../../src/server/ConnectionEvents.ts"
import type { ConnectionEvent } from "../../src/server/ConnectionView.ts"
import { address } from "../proxyproto/ProxyHeaders.ts"
import { hello, makeWorld, type World } from "../pipeline/World.ts"

/** Opens and closes as many connections, each an event for itself. */
const openAndClose = (world: World, events: number) => {
  for (let i = 0; i < events / 2; i++) world.connections.remove(world.connections.add(":443", world.open()))
}

const tagsOf = (events: ReadonlyArray<ConnectionEvent>) => events.map(({ _tag }) => _tag)

it.effect("tells of each connection as it opens and closes, with what is known by then", () =>
  Effect.gen(function* () {
    yield* TestClock.adjust(1234)
    const world = yield* makeWorld({ country: () => "DE", listener: { proxyProtocol: true } })
    const before = world.connect()
    const watcher = yield* world.connections.watch
    const { live, socket } = world.connect(undefined, { peer: address("192.0.2.1", 40_000) })
    const opened = {
      id: live.id,
      listener: ":443",
      client: "192.0.2.1:40000",
      peer: "192.0.2.1:40000",
      country: "",
      hostname: "",
      backend: "",
      mode: "",
      openedAt: 1234,
      bytesFromClient: 0,
      bytesFromBackend: 0
    } as const
    assert.deepStrictEqual(yield* watcher.take, [{ _tag: "Opened", connection: opened }])

    socket.send(Buffer.from("PROXY TCP4 198.51.100.9 198.51.100.1 700 443\r\n"))
    socket.send(hello("git.example.net"))
    world.answerDial().bytesWritten += 300
    socket.bytesWritten += 7000
    world.network.relays[0]!.end(Effect.succeed("done"))
    const closed = {
      ...opened,
      client: "198.51.100.9:700",
      country: "DE",
      hostname: "git.example.net",
      backend: "192.0.2.10:18443",
      mode: "l4",
      bytesFromClient: 300,
      bytesFromBackend: 7000
    } as const
    assert.deepStrictEqual(yield* watcher.take, [{ _tag: "Closed", connection: closed, outcome: "done" }])

    before.live.end("closed_by_admin")
    const [event] = yield* watcher.take
    assert.deepInclude(event, { _tag: "Closed", outcome: "closed_by_admin" })
  })
)

it.effect("tells of those that are refused, too", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ rules: [{ type: "ip", value: "203.0.113.7" }] })
    const watcher = yield* world.connections.watch
    const { live } = world.connect()
    const events = yield* watcher.take
    assert.deepStrictEqual(tagsOf(events), ["Opened", "Closed"])
    for (const event of events) assert.strictEqual(event._tag !== "Dropped" && event.connection.id, live.id)
    assert.deepInclude(events[1], { outcome: "blocked_ip" })
  })
)

it.effect("lets a watcher wait for the next event", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const watcher = yield* world.connections.watch
    const waiting = yield* Effect.forkChild(watcher.take, { startImmediately: true })
    yield* Effect.yieldNow
    assert.isUndefined(waiting.pollUnsafe())
    world.connect()
    assert.deepStrictEqual(tagsOf(yield* Fiber.join(waiting)), ["Opened"])
  })
)

it.effect("keeps as many events as it has said, and tells how many more there were", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const slow = yield* world.connections.watch
    const quick = yield* world.connections.watch
    openAndClose(world, EVENTS_BUFFERED_MAX)
    assert.lengthOf(yield* quick.take, EVENTS_BUFFERED_MAX)
    assert.strictEqual(world.connections.droppedEvents, 0)

    openAndClose(world, 6)
    assert.strictEqual(world.connections.droppedEvents, 6)
    assert.lengthOf(yield* quick.take, 6)
    const events = yield* slow.take
    assert.lengthOf(events, EVENTS_BUFFERED_MAX + 1)
    assert.deepStrictEqual(events.at(-1), { _tag: "Dropped", count: 6 })

    openAndClose(world, 2)
    assert.deepStrictEqual(tagsOf(yield* slow.take), ["Opened", "Closed"])
    assert.strictEqual(world.connections.droppedEvents, 6)
  })
)

it.effect("tells nothing to who has gone", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const scope = yield* Scope.make()
    yield* Scope.provide(world.connections.watch, scope)
    yield* Scope.close(scope, Exit.void)
    openAndClose(world, EVENTS_BUFFERED_MAX + 2)
    assert.strictEqual(world.connections.droppedEvents, 0)
  })
)
