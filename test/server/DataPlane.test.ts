import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import type { FakeConnection } from "../pipeline/FakeConnection.ts"
import { formatSocketAddress } from "../../src/net/SocketAddress.ts"
import { ROUTE, hello, hostname } from "../pipeline/World.ts"
import { connect, listenerAt, makePlane, outcomesOf, snapshotOf } from "./Plane.ts"

const HELLO = hello("git.example.net")
const BLOCKED = [{ type: "ip", value: "203.0.113.7" }] as const

const toBackend = (backend: string) => ({ routes: [{ ...ROUTE, backend }] })

describe("publish", () => {
  it.effect("listens where the snapshot says, and tells where that is", () =>
    Effect.gen(function* () {
      const { plane, network } = yield* makePlane()
      assert.strictEqual(plane.bound.size, 0)
      yield* plane.publish(snapshotOf([listenerAt(":443"), listenerAt("127.0.0.1:8443")]))
      assert.deepStrictEqual([...network.listening.keys()], [":443", "127.0.0.1:8443"])
      assert.deepStrictEqual(
        [...plane.bound].map(([addr, bound]) => `${addr} ${formatSocketAddress(bound)}`),
        [":443 [::]:443", "127.0.0.1:8443 127.0.0.1:8443"]
      )
    })
  )

  it.effect("puts rules and routes in force for the next connection, and for none before", () =>
    Effect.gen(function* () {
      const { plane, network, entries } = yield* makePlane()
      yield* plane.publish(snapshotOf([listenerAt(":443", toBackend("192.0.2.10:1"))]))
      const before = connect(network, ":443")
      yield* plane.publish(snapshotOf([listenerAt(":443", { routes: [] })], BLOCKED))
      before.send(HELLO)
      assert.deepStrictEqual(
        network.dials.map(({ address }) => formatSocketAddress(address)),
        ["192.0.2.10:1"]
      )
      connect(network, ":443")
      yield* plane.publish(snapshotOf([listenerAt(":443", toBackend("192.0.2.10:2"))]))
      connect(network, ":443", HELLO)
      assert.strictEqual(formatSocketAddress(network.dials[1]!.address), "192.0.2.10:2")
      assert.deepStrictEqual(outcomesOf(entries), ["blocked_ip"])
    })
  )

  it.effect("leaves a listener alone that stays", () =>
    Effect.gen(function* () {
      const { plane, network } = yield* makePlane()
      yield* plane.publish(snapshotOf([listenerAt(":443")]))
      const accepting = network.listening.get(":443")
      network.unbindable.add(":443")
      yield* plane.publish(snapshotOf([listenerAt(":443", { maxConnections: 7 }), listenerAt(":8443")]))
      assert.strictEqual(network.listening.get(":443"), accepting)
    })
  )

  it.effect("holds the new limit against the connections that are there already", () =>
    Effect.gen(function* () {
      const { plane, network, entries } = yield* makePlane()
      yield* plane.publish(snapshotOf([listenerAt(":443")]))
      connect(network, ":443")
      connect(network, ":443")
      yield* plane.publish(snapshotOf([listenerAt(":443", { maxConnections: 2 })]))
      connect(network, ":443")
      assert.deepStrictEqual(outcomesOf(entries), ["max_connections"])
    })
  )

  it.effect("stops accepting on a listener that is gone, whose connections go on", () =>
    Effect.gen(function* () {
      const { plane, network, connections, entries } = yield* makePlane()
      yield* plane.publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
      const accepting = network.listening.get(":8443")!
      const going = connect(network, ":8443")
      yield* plane.publish(snapshotOf([listenerAt(":443")]))
      assert.deepStrictEqual([...network.listening.keys()], [":443"])
      assert.deepStrictEqual([...plane.bound.keys()], [":443"])
      going.send(HELLO)
      assert.strictEqual(going.end, "open")
      assert.lengthOf(network.dials, 1)

      // It was in the kernel's queue when the listener was closed.
      network.listening.set(":8443", accepting)
      const late = connect(network, ":8443", HELLO)
      assert.strictEqual(late.end, "reset")
      assert.strictEqual(connections.size, 1)
      assert.deepStrictEqual(entries, [])
    })
  )

  it.effect("changes nothing when one of the new listeners cannot be bound", () =>
    Effect.gen(function* () {
      const { plane, network, counters, entries } = yield* makePlane()
      yield* plane.publish(snapshotOf([listenerAt(":443")]))
      network.unbindable.add(":9443")
      const next = snapshotOf(
        [listenerAt(":8443"), listenerAt(":9443", toBackend("192.0.2.99:1")), listenerAt(":10443")],
        BLOCKED
      )
      const error = yield* Effect.flip(plane.publish(next))
      assert.strictEqual(error._tag, "ListenError")
      assert.deepStrictEqual([...network.listening.keys()], [":443"])
      assert.deepStrictEqual([...plane.bound.keys()], [":443"])
      assert.deepStrictEqual([...counters.listeners.keys()], [":443"])
      assert.deepStrictEqual([...counters.backends.keys()], [ROUTE.backend])
      connect(network, ":443", HELLO)
      assert.lengthOf(network.dials, 1)

      network.unbindable.clear()
      yield* plane.publish(next)
      assert.deepStrictEqual([...network.listening.keys()].sort(), [":10443", ":8443", ":9443"])
      connect(network, ":8443")
      assert.deepStrictEqual(outcomesOf(entries), ["blocked_ip"])
    })
  )

  for (const [fate, unbindable] of [
    ["serves", undefined],
    ["resets, when that is given up,", ":9443"]
  ] as const) {
    it.effect(`${fate} who comes to a listener that is bound ahead of its snapshot`, () =>
      Effect.gen(function* () {
        const { plane, network, connections, entries } = yield* makePlane()
        const early: Array<FakeConnection> = []
        // The second listener's binding: the first one's is through.
        network.binding = Effect.sync(() => {
          if (network.listening.has(":443")) early.push(connect(network, ":443"))
        })
        if (unbindable !== undefined) network.unbindable.add(unbindable)
        const snapshot = snapshotOf([":443", ":8443", ":9443"].map((addr) => listenerAt(addr)))
        const exit = yield* Effect.exit(plane.publish(snapshot))
        assert.strictEqual(Exit.isSuccess(exit), unbindable === undefined)
        assert.isAbove(early.length, 0)
        for (const socket of early) assert.strictEqual(socket.end, unbindable === undefined ? "open" : "reset")
        assert.strictEqual(connections.size, unbindable === undefined ? early.length : 0)
        assert.deepStrictEqual(entries, [])
      })
    )
  }

  it.effect("is completed when its caller goes away, before the next one begins", () =>
    Effect.gen(function* () {
      const { plane, network } = yield* makePlane()
      const gate = yield* Deferred.make<void>()
      const listeningAtBind: Array<ReadonlyArray<string>> = []
      network.binding = Effect.suspend(() => {
        listeningAtBind.push([...network.listening.keys()])
        return Deferred.await(gate)
      })
      const publishing = (addr: string) =>
        Effect.forkChild(plane.publish(snapshotOf([listenerAt(addr)])), { startImmediately: true })
      const first = yield* publishing(":443")
      const second = yield* publishing(":8443")
      const leaving = yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
      assert.deepStrictEqual(listeningAtBind, [[]])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(leaving)
      yield* Fiber.join(second)
      assert.deepStrictEqual(listeningAtBind, [[], [":443"]])
      assert.deepStrictEqual([...network.listening.keys()], [":8443"])
    })
  )
})

describe("the series", () => {
  it.effect("count every accept and every end of the listener", () =>
    Effect.gen(function* () {
      const { plane, network, counters } = yield* makePlane()
      yield* plane.publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
      connect(network, ":443", Buffer.from("SSH-2.0"))
      connect(network, ":443")
      const { connectionsTotal, active, closed } = counters.listener(":443")
      assert.deepStrictEqual(
        { connectionsTotal, active, notTls: closed.not_tls },
        { connectionsTotal: 2, active: 1, notTls: 1 }
      )
      assert.strictEqual(counters.listener(":8443").connectionsTotal, 0)
    })
  )

  it.effect("go with their listener and their backend, and start again when those come back", () =>
    Effect.gen(function* () {
      const { plane, network, counters } = yield* makePlane()
      const both = snapshotOf([
        listenerAt(":443", toBackend("192.0.2.10:1")),
        listenerAt(":8443", {
          routes: [
            { ...ROUTE, backend: "192.0.2.10:1" },
            { ...ROUTE, hostname: hostname("www.example.net"), backend: "192.0.2.10:2" }
          ]
        })
      ])
      yield* plane.publish(both)
      const shared = counters.backend("192.0.2.10:1")
      const going = connect(network, ":8443")
      const drained = counters.listener(":8443")

      yield* plane.publish(snapshotOf([listenerAt(":443", toBackend("192.0.2.10:1"))], BLOCKED))
      assert.deepStrictEqual([...counters.listeners.keys()], [":443"])
      assert.deepStrictEqual([...counters.backends.keys()], ["192.0.2.10:1"])
      assert.strictEqual(counters.backend("192.0.2.10:1"), shared)

      yield* plane.publish(both)
      going.fail()
      assert.strictEqual(drained.closed.reset, 1)
      assert.deepInclude(counters.listener(":8443"), { connectionsTotal: 0, active: 0 })
    })
  )
})

describe("stopAccepting", () => {
  it.effect("closes every listener, and what has been accepted goes on", () =>
    Effect.gen(function* () {
      const { plane, network, entries } = yield* makePlane()
      yield* plane.publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
      const going = connect(network, ":443")
      yield* plane.stopAccepting
      assert.strictEqual(network.listening.size, 0)
      assert.strictEqual(plane.bound.size, 0)
      going.send(HELLO)
      assert.lengthOf(network.dials, 1)
      assert.deepStrictEqual(entries, [])
    })
  )

  it.effect("holds whatever is published after it", () =>
    Effect.gen(function* () {
      const { plane, network } = yield* makePlane()
      yield* plane.publish(snapshotOf([listenerAt(":443")]))
      yield* plane.stopAccepting
      yield* plane.publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
      assert.strictEqual(network.listening.size, 0)
    })
  )
})

it.effect("closes its listeners, and ends its connections as shutdown, with its layer", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { plane, network, entries } = yield* Scope.provide(makePlane(), scope)
    yield* plane.publish(snapshotOf([listenerAt(":443")]))
    const going = connect(network, ":443", HELLO)
    yield* Scope.close(scope, Exit.void)
    assert.strictEqual(network.listening.size, 0)
    assert.strictEqual(going.end, "reset")
    assert.deepStrictEqual(outcomesOf(entries), ["shutdown"])
    assert.strictEqual(network.waiting, 0)
  })
)
