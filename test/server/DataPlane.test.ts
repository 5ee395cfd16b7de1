import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { DescriptorBudget } from "../../src/net/DescriptorBudget.ts"
import { ipv4FromWord } from "../../src/net/IpAddress.ts"
import { formatSocketAddress } from "../../src/net/SocketAddress.ts"
import { diff, EMPTY, type Change } from "../../src/snapshot/Change.ts"
import type { FakeConnection } from "../pipeline/FakeConnection.ts"
import { ROUTE, hello, hostname } from "../pipeline/World.ts"
import { address } from "../proxyproto/ProxyHeaders.ts"
import { connect, listenerAt, makePlane, outcomesOf, snapshotOf } from "./Plane.ts"

const HELLO = hello("git.example.net")
const BLOCKED = [{ type: "ip", value: "203.0.113.7" }] as const

const toBackend = (backend: string) => ({ routes: [{ ...ROUTE, backend }] })

describe("publish", () => {
  it.effect("listens where the snapshot says, and tells where that is", () =>
    Effect.gen(function* () {
      const { plane, network, publish } = yield* makePlane()
      assert.strictEqual(plane.bound.size, 0)
      yield* publish(snapshotOf([listenerAt(":443"), listenerAt("127.0.0.1:8443")]))
      assert.deepStrictEqual([...network.listening.keys()], [":443", "127.0.0.1:8443"])
      assert.deepStrictEqual(
        [...plane.bound].map(([addr, bound]) => `${addr} ${formatSocketAddress(bound)}`),
        [":443 [::]:443", "127.0.0.1:8443 127.0.0.1:8443"]
      )
    })
  )

  it.effect("puts rules and routes in force for the next connection, and for none before", () =>
    Effect.gen(function* () {
      const { network, entries, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443", toBackend("192.0.2.10:1"))]))
      const before = connect(network, ":443")
      yield* publish(snapshotOf([listenerAt(":443", { routes: [] })], BLOCKED))
      before.send(HELLO)
      assert.deepStrictEqual(
        network.dials.map(({ address }) => formatSocketAddress(address)),
        ["192.0.2.10:1"]
      )
      connect(network, ":443")
      yield* publish(snapshotOf([listenerAt(":443", toBackend("192.0.2.10:2"))]))
      connect(network, ":443", HELLO)
      assert.strictEqual(formatSocketAddress(network.dials[1]!.address), "192.0.2.10:2")
      assert.deepStrictEqual(outcomesOf(entries), ["blocked_ip"])
    })
  )

  it.effect("leaves a listener alone that stays", () =>
    Effect.gen(function* () {
      const { network, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443")]))
      const accepting = network.listening.get(":443")
      network.unbindable.add(":443")
      yield* publish(snapshotOf([listenerAt(":443", { maxConnections: 7 }), listenerAt(":8443")]))
      assert.strictEqual(network.listening.get(":443"), accepting)
    })
  )

  it.effect("holds the new limit against the connections that are there already", () =>
    Effect.gen(function* () {
      const { network, entries, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443")]))
      connect(network, ":443")
      connect(network, ":443")
      yield* publish(snapshotOf([listenerAt(":443", { maxConnections: 2 })]))
      connect(network, ":443")
      assert.deepStrictEqual(outcomesOf(entries), ["max_connections"])
    })
  )

  it.effect("stops accepting on a listener that is gone, whose connections go on", () =>
    Effect.gen(function* () {
      const { plane, network, connections, entries, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
      const accepting = network.listening.get(":8443")!
      const going = connect(network, ":8443")
      yield* publish(snapshotOf([listenerAt(":443")]))
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
      const { plane, network, counters, entries, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443")]))
      network.unbindable.add(":9443")
      const next = snapshotOf(
        [listenerAt(":8443"), listenerAt(":9443", toBackend("192.0.2.99:1")), listenerAt(":10443")],
        BLOCKED
      )
      const error = yield* Effect.flip(publish(next))
      assert.deepInclude(error, { _tag: "ListenError", message: "cannot listen on :9443" })
      assert.deepStrictEqual([...network.listening.keys()], [":443"])
      assert.deepStrictEqual([...plane.bound.keys()], [":443"])
      assert.deepStrictEqual([...counters.listeners.keys()], [":443"])
      assert.deepStrictEqual([...counters.backends.keys()], [ROUTE.backend])
      connect(network, ":443", HELLO)
      assert.lengthOf(network.dials, 1)

      network.unbindable.clear()
      yield* publish(next)
      assert.deepStrictEqual([...network.listening.keys()].sort(), [":10443", ":8443", ":9443"])
      connect(network, ":8443")
      assert.deepStrictEqual(outcomesOf(entries), ["blocked_ip"])
    })
  )

  it.effect("says where a listener is bound when it comes into force, and not again", () =>
    Effect.gen(function* () {
      const { plane, lines, publish } = yield* makePlane()
      yield* plane.bind([":443"])
      assert.deepStrictEqual(lines, [])
      yield* publish(snapshotOf([listenerAt(":443")]))
      yield* publish(snapshotOf([listenerAt(":443", { maxConnections: 1 }), listenerAt("127.0.0.1:8443")]))
      assert.deepStrictEqual(
        lines.map((line) => line.slice(line.indexOf("INFO"))),
        [
          "INFO  listening listener=:443 address=[::]:443",
          "INFO  listening listener=127.0.0.1:8443 address=127.0.0.1:8443"
        ]
      )
    })
  )

  it.effect("takes a listener that was not bound for a defect, and stays as it was", () =>
    Effect.gen(function* () {
      const { plane, network, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443")]))
      const change = diff(EMPTY, snapshotOf([listenerAt(":8443")]))
      const exit = yield* Effect.exit(plane.publish(2, change))
      assert.isTrue(Exit.isFailure(exit) && Exit.hasDies(exit))
      assert.strictEqual(plane.state.revision, 1)
      assert.deepStrictEqual([...network.listening.keys()], [":443"])
    })
  )

  it.effect("decides no connection by a part of a change, however long that is", () =>
    Effect.gen(function* () {
      const { plane, network, publish, entries } = yield* makePlane({ socketsMax: 10_000 })
      yield* publish(snapshotOf([listenerAt(":443", toBackend("192.0.2.10:1"))]))
      const { routes: _, ...settings } = listenerAt(":443", { maxConnections: 0 })
      const rules = Array.from({ length: 3000 }, (_, i) => ({ type: "ip", value: ipv4FromWord(i).text }) as const)
      const change: Change = [
        { _tag: "PutRoute", listener: ":443", route: { ...ROUTE, backend: "192.0.2.10:2" } },
        { _tag: "PutRules", rules: [{ type: "ip", value: "198.51.100.1" }] },
        { _tag: "PutRules", rules },
        { _tag: "PutListener", listener: settings },
        { _tag: "PutRules", rules: [{ type: "ip", value: "198.51.100.2" }] },
        { _tag: "RemoveRoute", listener: ":443", hostname: ROUTE.hostname }
      ]
      const publishing = yield* Effect.forkChild(plane.publish(2, change), { startImmediately: true })
      const visit = () => {
        connect(network, ":443", HELLO)
        connect(network, ":443", HELLO, address("198.51.100.1", 1))
        connect(network, ":443", HELLO, address("198.51.100.2", 1))
      }
      // Whoever publishes and goes leaves a whole revision behind.
      yield* Effect.forkChild(Fiber.interrupt(publishing), { startImmediately: true })
      let meanwhile = 0
      for (; publishing.pollUnsafe() === undefined; meanwhile++) {
        visit()
        yield* TestClock.adjust("1 millis")
      }
      assert.isAtLeast(meanwhile, 3)
      assert.deepStrictEqual(entries, [])
      assert.lengthOf(network.dials, 3 * meanwhile)
      for (const dial of network.dials) assert.strictEqual(formatSocketAddress(dial.address), "192.0.2.10:1")

      visit()
      assert.deepStrictEqual(outcomesOf(entries), ["no_route", "blocked_ip", "blocked_ip"])
      assert.lengthOf(network.dials, 3 * meanwhile)
    })
  )

  it.effect("is completed when its caller goes away, before the next one begins", () =>
    Effect.gen(function* () {
      const { plane, network } = yield* makePlane()
      const gate = yield* Deferred.make<void>()
      const listeningAtBind: Array<ReadonlyArray<string>> = []
      network.binding = Effect.suspend(() => {
        listeningAtBind.push([...network.listening.keys()])
        return Deferred.await(gate)
      })
      const binding = (addr: string) => Effect.forkChild(plane.bind([addr]), { startImmediately: true })
      const first = yield* binding(":443")
      const second = yield* binding(":8443")
      const leaving = yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
      assert.deepStrictEqual(listeningAtBind, [[]])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(leaving)
      yield* Fiber.join(second)
      assert.deepStrictEqual(listeningAtBind, [[], [":443"]])
      assert.deepStrictEqual([...network.listening.keys()], [":443", ":8443"])
    })
  )
})

describe("bind", () => {
  for (const [fate, unbindable] of [
    ["serves", undefined],
    ["resets, when that is given up,", ":9443"]
  ] as const) {
    it.effect(`${fate} who comes to a listener that is bound ahead of its revision`, () =>
      Effect.gen(function* () {
        const { network, connections, entries, publish } = yield* makePlane()
        const early: Array<FakeConnection> = []
        // The second listener's binding: the first one's is through.
        network.binding = Effect.sync(() => {
          if (network.listening.has(":443")) early.push(connect(network, ":443"))
        })
        if (unbindable !== undefined) network.unbindable.add(unbindable)
        const snapshot = snapshotOf([":443", ":8443", ":9443"].map((addr) => listenerAt(addr)))
        const exit = yield* Effect.exit(publish(snapshot))
        assert.strictEqual(Exit.isSuccess(exit), unbindable === undefined)
        assert.isAbove(early.length, 0)
        for (const socket of early) assert.strictEqual(socket.end, unbindable === undefined ? "open" : "reset")
        assert.strictEqual(connections.size, unbindable === undefined ? early.length : 0)
        assert.deepStrictEqual(entries, [])
      })
    )
  }

  it.effect("lets those who come ahead wait for their own listener's revision, in their order", () =>
    Effect.gen(function* () {
      const { plane, network, connections, publish } = yield* makePlane()
      yield* plane.bind([":443", ":8443"])
      yield* plane.bind([":443"])
      const early = [1, 2, 3].map((port) => connect(network, ":443", HELLO, address("203.0.113.7", port)))
      const other = connect(network, ":8443", HELLO)
      assert.deepStrictEqual([...plane.bound.keys()], [":443", ":8443"])
      assert.strictEqual(connections.size, 0)

      yield* publish(snapshotOf([listenerAt(":443")]))
      assert.deepStrictEqual(
        [...connections.all()].map(({ socket }) => socket),
        early
      )
      assert.lengthOf(network.dials, 3)
      assert.strictEqual(other.end, "open")
      yield* publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
      assert.strictEqual(connections.size, 4)
    })
  )

  it.effect("is taken back by unbind, for what is not in force", () =>
    Effect.gen(function* () {
      const { plane, network, publish, counters } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443")]))
      yield* plane.bind([":443", ":8443"])
      const accept = network.listening.get(":8443")!
      const early = connect(network, ":8443")
      yield* plane.unbind
      assert.deepStrictEqual([...network.listening.keys()], [":443"])
      assert.deepStrictEqual([...plane.bound.keys()], [":443"])
      assert.strictEqual(early.end, "reset")
      assert.deepStrictEqual([...counters.listeners.keys()], [":443"])

      // It was in the kernel's queue when the listener was closed.
      network.listening.set(":8443", accept)
      assert.strictEqual(connect(network, ":8443").end, "reset")
    })
  )

  it.effect("has a descriptor of the budget for each listener and for each who waits, and gives them back", () =>
    Effect.gen(function* () {
      const { plane, network, services, publish } = yield* makePlane({ socketsMax: 4 })
      const budget = Context.get(services, DescriptorBudget)
      const left = () => {
        const places = [1, 2, 3, 4, 5].flatMap(() => budget.reserve() ?? [])
        for (const place of places) place.release()
        return places.length
      }
      yield* plane.bind([":443", ":8443"])
      const early = [1, 2, 3].map(() => connect(network, ":443"))
      assert.deepStrictEqual(
        early.map(({ end }) => end),
        ["open", "open", "reset"]
      )
      assert.strictEqual(left(), 0)
      const error = yield* Effect.flip(plane.bind([":9443"]))
      assert.match(error.message, /^cannot listen on :9443: every socket that the limit of open files .* raise it$/)
      assert.deepStrictEqual([...network.listening.keys()], [":443", ":8443"])

      yield* plane.unbind
      assert.strictEqual(left(), 4)
      yield* publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
      assert.strictEqual(left(), 2)
      yield* publish(snapshotOf([listenerAt(":443")]))
      assert.strictEqual(left(), 3)
      yield* plane.stopAccepting
      assert.strictEqual(left(), 4)
    })
  )

  it.effect("keeps no more waiting than it has said", () =>
    Effect.gen(function* () {
      const { plane, network } = yield* makePlane({ socketsMax: 10_000 })
      yield* plane.bind([":443"])
      const early = Array.from({ length: 1025 }, () => connect(network, ":443"))
      assert.deepStrictEqual(
        early.slice(1022).map(({ end }) => end),
        ["open", "open", "reset"]
      )
    })
  )
})

describe("the series", () => {
  it.effect("count every accept and every end of the listener", () =>
    Effect.gen(function* () {
      const { network, counters, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
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
      const { network, counters, publish } = yield* makePlane()
      const both = snapshotOf([
        listenerAt(":443", toBackend("192.0.2.10:1")),
        listenerAt(":8443", {
          routes: [
            { ...ROUTE, backend: "192.0.2.10:1" },
            { ...ROUTE, hostname: hostname("www.example.net"), backend: "192.0.2.10:2" }
          ]
        })
      ])
      yield* publish(both)
      const shared = counters.backends.get("192.0.2.10:1")
      assert.isDefined(shared)
      const going = connect(network, ":8443")
      const drained = counters.listener(":8443")

      yield* publish(snapshotOf([listenerAt(":443", toBackend("192.0.2.10:1"))], BLOCKED))
      assert.deepStrictEqual([...counters.listeners.keys()], [":443"])
      assert.deepStrictEqual([...counters.backends.keys()], ["192.0.2.10:1"])
      assert.strictEqual(counters.backends.get("192.0.2.10:1"), shared)

      yield* publish(both)
      going.fail()
      assert.strictEqual(drained.closed.reset, 1)
      assert.deepInclude(counters.listener(":8443"), { connectionsTotal: 0, active: 0 })
    })
  )
})

describe("stopAccepting", () => {
  it.effect("closes every listener, and what has been accepted goes on", () =>
    Effect.gen(function* () {
      const { plane, network, entries, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443"), listenerAt(":8443")]))
      const going = connect(network, ":443")
      yield* plane.stopAccepting
      assert.strictEqual(network.listening.size, 0)
      assert.strictEqual(plane.bound.size, 0)
      going.send(HELLO)
      assert.lengthOf(network.dials, 1)
      assert.deepStrictEqual(entries, [])
    })
  )

  it.effect("holds whatever is published after it, and lets nothing be bound any more", () =>
    Effect.gen(function* () {
      const { plane, network, publish } = yield* makePlane()
      yield* publish(snapshotOf([listenerAt(":443")]))
      assert.isTrue(plane.accepting)
      yield* plane.stopAccepting
      assert.isFalse(plane.accepting)
      yield* plane.bind([":443"])
      const error = yield* Effect.flip(plane.bind([":443", ":8443"]))
      assert.strictEqual(error.message, "cannot listen on :8443: the proxy is shutting down")
      const both = snapshotOf([listenerAt(":443"), listenerAt(":8443")], BLOCKED)
      yield* plane.publish(2, diff(snapshotOf([listenerAt(":443")]), both))
      assert.strictEqual(network.listening.size, 0)
      assert.strictEqual(plane.state.revision, 2)
      assert.deepStrictEqual([...plane.state.listeners.keys()], [":443", ":8443"])
    })
  )

  it.effect("resets who came to a listener ahead of its revision", () =>
    Effect.gen(function* () {
      const { plane, network, connections } = yield* makePlane()
      yield* plane.bind([":443"])
      const early = connect(network, ":443")
      yield* plane.stopAccepting
      assert.strictEqual(early.end, "reset")
      yield* plane.publish(1, diff(EMPTY, snapshotOf([listenerAt(":443")])))
      assert.strictEqual(connections.size, 0)
    })
  )
})

it.effect("closes its listeners, and ends its connections as shutdown, with its layer", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { network, entries, publish } = yield* Scope.provide(makePlane(), scope)
    yield* publish(snapshotOf([listenerAt(":443")]))
    const going = connect(network, ":443", HELLO)
    yield* Scope.close(scope, Exit.void)
    assert.strictEqual(network.listening.size, 0)
    assert.strictEqual(going.end, "reset")
    assert.deepStrictEqual(outcomesOf(entries), ["shutdown"])
    assert.strictEqual(network.waiting, 0)
  })
)
