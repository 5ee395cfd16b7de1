import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { GeoIpError } from "../../src/firewall/GeoIp.ts"
import { diff, EMPTY } from "../../src/snapshot/Change.ts"
import { ROUTE, TERMINATED, hello } from "../pipeline/World.ts"
import { connect, listenerAt, makePlane, outcomesOf, snapshotOf } from "./Plane.ts"

const HELLO = hello("git.example.net")
const ALL = { listener: "", hostname: "", clientIp: "", limit: 10 }

it.effect("binds, publishes and unbinds on the data plane", () =>
  Effect.gen(function* () {
    const { follower, network } = yield* makePlane()
    yield* follower.bind([":443", ":8443"])
    yield* follower.publish(1, diff(EMPTY, snapshotOf([listenerAt(":443")])))
    yield* follower.unbind
    assert.deepStrictEqual([...network.listening.keys()], [":443"])
    connect(network, ":443", HELLO)
    assert.lengthOf(network.dials, 1)
  })
)

it.effect("says why a listener cannot be bound", () =>
  Effect.gen(function* () {
    const { follower, network } = yield* makePlane()
    network.unbindable.add(":8443")
    const error = yield* Effect.flip(follower.bind([":443", ":8443"]))
    assert.deepInclude(error, { _tag: "BindFailed", message: "cannot listen on :8443" })
    assert.strictEqual(network.listening.size, 0)
  })
)

it.effect("tells when it was started, what it has accepted, and that it drains", () =>
  Effect.gen(function* () {
    yield* TestClock.adjust(1234)
    const { follower, network, plane, publish } = yield* makePlane()
    yield* publish(snapshotOf([listenerAt(":443"), listenerAt(":8443"), listenerAt(":9443")]))
    yield* TestClock.adjust(1000)
    connect(network, ":443")
    connect(network, ":443", Buffer.from("SSH-2.0"))
    connect(network, ":9443")
    const going = {
      startedAt: 1234,
      connectionsTotal: 3,
      connectionsActive: 2,
      draining: false,
      certificateProblems: []
    }
    assert.deepStrictEqual(yield* follower.status, {
      ...going,
      activeByListener: { ":443": 1, ":8443": 0, ":9443": 1 }
    })

    yield* publish(snapshotOf([listenerAt(":443")]))
    assert.deepStrictEqual(yield* follower.status, { ...going, activeByListener: { ":443": 1 } })
    yield* plane.stopAccepting
    assert.isTrue((yield* follower.status).draining)
  })
)

it.effect("tells which certificates did not load", () =>
  Effect.gen(function* () {
    const { follower, publish } = yield* makePlane()
    yield* publish(snapshotOf([listenerAt(":443", { routes: [TERMINATED] })]))
    const { tlsCert, tlsKey } = TERMINATED
    assert.deepStrictEqual((yield* follower.status).certificateProblems, [
      { tlsCert, tlsKey, problem: `"${tlsCert}" no such file`, served: false }
    ])
    assert.deepStrictEqual(yield* follower.reload, {
      reloaded: [],
      failed: [{ path: tlsCert, reason: "no such file" }]
    })
  })
)

it.effect("lists its connections, and closes one of them", () =>
  Effect.gen(function* () {
    const { follower, network, entries, publish } = yield* makePlane()
    yield* publish(snapshotOf([listenerAt(":443")]))
    const first = connect(network, ":443")
    const second = connect(network, ":443", HELLO)
    const [named, ...others] = yield* follower.connections({ ...ALL, hostname: ROUTE.hostname })
    assert.deepStrictEqual(others, [])
    assert.isTrue(yield* follower.close(named!.id))
    assert.deepStrictEqual([first.end, second.end], ["open", "reset"])
    assert.deepStrictEqual(outcomesOf(entries), ["closed_by_admin"])
    assert.isFalse(yield* follower.close(named!.id))
    assert.lengthOf(yield* follower.connections(ALL), 1)
  })
)

it.effect("tells events for as long as they are read", () =>
  Effect.gen(function* () {
    const { connections, follower, network, publish } = yield* makePlane()
    yield* publish(snapshotOf([listenerAt(":443")]))
    const reading = yield* follower.events.pipe(
      Stream.take(3),
      Stream.map(({ _tag }) => _tag),
      Stream.runCollect,
      Effect.forkChild({ startImmediately: true })
    )
    connect(network, ":443").fail()
    connect(network, ":443")
    assert.deepStrictEqual(yield* Fiber.join(reading), ["Opened", "Closed", "Opened"])
    for (let i = 0; i < 3000; i++) connect(network, ":443").fail()
    assert.strictEqual(connections.droppedEvents, 0)
  })
)

it.effect("explains by the state in force", () =>
  Effect.gen(function* () {
    const { follower, publish } = yield* makePlane({ country: () => "DE" })
    const question = { listener: ":443", clientIp: "203.0.113.7", hostname: ROUTE.hostname }
    assert.isUndefined(yield* follower.explain(question))
    yield* publish(snapshotOf([listenerAt(":443")]))
    assert.deepInclude(yield* follower.explain(question), { outcome: "routed", country: "DE", route: ROUTE })
    yield* publish(snapshotOf([listenerAt(":443")], [{ type: "country", value: "DE" }]))
    assert.deepInclude(yield* follower.explain(question), { outcome: "blocked_country" })
  })
)

describe("reload", () => {
  it.effect("tells which file was read again, and logs it", () =>
    Effect.gen(function* () {
      const { follower, lines } = yield* makePlane({ reload: Effect.succeed("/srv/geo.mmdb") })
      assert.deepStrictEqual(yield* follower.reload, { reloaded: ["/srv/geo.mmdb"], failed: [] })
      assert.match(lines[0]!, /INFO {2}reloaded path=\/srv\/geo.mmdb$/)
    })
  )

  it.effect("tells which file was kept, and why", () =>
    Effect.gen(function* () {
      const error = new GeoIpError({ path: "/srv/geo.mmdb", problem: "is empty" })
      const { follower, lines } = yield* makePlane({ reload: Effect.fail(error) })
      const reason = "GeoIP database /srv/geo.mmdb is empty"
      assert.deepStrictEqual(yield* follower.reload, { reloaded: [], failed: [{ path: "/srv/geo.mmdb", reason }] })
      assert.include(lines[0], "ERROR kept the old file path=/srv/geo.mmdb")
    })
  )

  it.effect("reads nothing where there is nothing to read", () =>
    Effect.gen(function* () {
      const { follower } = yield* makePlane()
      assert.deepStrictEqual(yield* follower.reload, { reloaded: [], failed: [] })
    })
  )
})
