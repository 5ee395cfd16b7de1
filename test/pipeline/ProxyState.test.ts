import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, HashMap, Layer, Option, Result } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { Retirable } from "../../src/l7/VirtualHost.ts"
import { ipv4FromWord, parseIpAddress } from "../../src/net/IpAddress.ts"
import { Counters } from "../../src/observe/Counters.ts"
import { Certificates } from "../../src/tls/Certificates.ts"
import { apply, NOTHING, type ProxyState } from "../../src/pipeline/ProxyState.ts"
import { isL7 } from "../../src/routing/RouteTable.ts"
import * as ChangeModel from "../../src/snapshot/Change.ts"
import type { Change, State } from "../../src/snapshot/Change.ts"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { NO_CERTIFICATES, ROUTE, TERMINATED, forAll, hostname } from "../pipeline/World.ts"
import { listenerAt } from "../server/Plane.ts"
import { l4, randomChange, randomState } from "../store/RandomState.ts"

const ip = (text: string) => parseIpAddress(text)!

const layerResources = Layer.merge(Counters.layer, NO_CERTIFICATES)

/** What the routes retain. */
const resources = Effect.gen(function* () {
  return { counters: yield* Counters, certificates: yield* Certificates }
})

/** The first revision. */
const compile = (state: State) =>
  Effect.flatMap(resources, (own) => apply(NOTHING, 1, ChangeModel.diff(ChangeModel.EMPTY, state), own))

const ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "10.255.0.1", "2001:db8:ffff::1", "192.0.2.7"].map(ip)

/** All that can be seen of a state, by whoever decides by it. */
const seenOf = ({ firewall, listeners }: ProxyState, rules: ReadonlyArray<FirewallRule>) => ({
  counts: firewall.counts,
  blocked: [...ADDRESSES, ...rules.flatMap(({ value }) => parseIpAddress(value.replace(/\/.*/, "")) ?? [])].map(
    (ip) => [ip.text, firewall.match(ip, ""), firewall.match(ip, "DE")]
  ),
  listeners: new Map(
    [...listeners].map(([addr, { listener, routes, trusted }]) => [
      addr,
      {
        listener,
        trusted: [...trusted.entries()],
        routes: new Map([...routes].map(([name, { backend, route }]) => [name, { backend, route }]))
      }
    ])
  )
})

/** What is counted: the series that there have to be, and those that the state's own connections count on. */
const seriesOf = ({ listeners }: ProxyState) => ({
  listeners: new Map([...listeners].map(([addr, { counters }]) => [addr, counters])),
  backends: new Map(
    [...listeners.values()].flatMap(({ routes }) =>
      [...HashMap.values(routes)].map(({ dials, route }) => [route.backend, dials] as const)
    )
  ),
  hostnames: new Map(
    [...listeners.values()].flatMap(({ routes }) =>
      [...HashMap.values(routes)].filter(isL7).map(({ host, route }) => [route.hostname, host.counters] as const)
    )
  )
})

const assertSeries = (state: ProxyState, counters: Counters["Service"]) => {
  const { backends, hostnames, listeners } = seriesOf(state)
  assert.sameMembers([...counters.listeners.keys()], [...listeners.keys()])
  for (const [addr, series] of listeners) assert.strictEqual(counters.listeners.get(addr), series)
  assert.sameMembers([...counters.backends.keys()], [...backends.keys()])
  for (const [addr, series] of backends) assert.strictEqual(counters.backends.get(addr), series)
  assert.sameMembers([...counters.hostnames.keys()], [...hostnames.keys()])
  for (const [hostname, series] of hostnames) assert.strictEqual(counters.hostnames.get(hostname), series)
}

describe("apply", () => {
  it.effect("makes of the first revision what each listener decides by", () =>
    Effect.gen(function* () {
      const counters = yield* Counters
      const trustedProxies = ["10.0.0.0/8", "2001:db8::1"]
      const { firewall, listeners, revision } = (yield* compile({
        listeners: [listenerAt(":443"), listenerAt(":8443", { trustedProxies })],
        firewallRules: [
          { type: "ip", value: "192.0.2.1" },
          { type: "country", value: "KP" }
        ]
      })).state
      assert.strictEqual(revision, 1)
      assert.deepStrictEqual(firewall.counts, { ip: 1, cidr: 0, country: 1 })
      assert.deepStrictEqual([...listeners.keys()], [":443", ":8443"])

      const plain = listeners.get(":443")!
      const trusted = listeners.get(":8443")!
      const { routes: _, ...settings } = listenerAt(":8443", { trustedProxies })
      assert.deepStrictEqual(trusted.listener, settings)
      assert.strictEqual(plain.trusted.size, 0)
      assert.strictEqual(trusted.trusted.size, 2)
      assert.strictEqual(trusted.trusted.match(ip("10.255.0.1")), 8)
      assert.strictEqual(trusted.trusted.match(ip("2001:db8::1")), 128)
      assert.isUndefined(trusted.trusted.match(ip("2001:db8::2")))
      assert.deepStrictEqual([...HashMap.keys(plain.routes)], [ROUTE.hostname])
      assert.strictEqual(plain.counters, counters.listener(":443"))
      assert.strictEqual(trusted.counters, counters.listener(":8443"))
    }).pipe(Effect.provide(layerResources))
  )

  it.effect("makes of any changes what the state is that they lead to, and leaves the one before as it was", () =>
    forAll(
      fc.array(fc.oneof({ weight: 4, arbitrary: randomChange }, randomState), { maxLength: 8 }),
      200,
      Effect.fnUntraced(
        function* (steps) {
          const counters = yield* Counters
          let plain = ChangeModel.EMPTY
          let state = NOTHING
          for (const [i, step] of steps.entries()) {
            const change = "listeners" in step ? ChangeModel.diff(plain, step) : step
            const after = ChangeModel.apply(plain, change)
            if (Result.isFailure(after)) continue
            const before = seenOf(state, plain.firewallRules)
            const applied = yield* apply(state, i + 1, change, yield* resources)
            assert.deepStrictEqual(seenOf(state, plain.firewallRules), before)
            applied.settle()
            state = applied.state
            plain = after.success
            const compiled = yield* compile(plain).pipe(Effect.provide(Layer.fresh(layerResources)))
            assert.deepStrictEqual(seenOf(state, plain.firewallRules), seenOf(compiled.state, plain.firewallRules))
            assert.strictEqual(state.revision, i + 1)
            assertSeries(state, counters)
          }
        },
        Effect.provide(Layer.fresh(layerResources))
      )
    )
  )

  it.effect("goes on with the series there are, and keeps what is to go until it is told", () =>
    Effect.gen(function* () {
      const counters = yield* Counters
      const first = (yield* compile({ listeners: [listenerAt(":443"), listenerAt(":8443")], firewallRules: [] })).state
      const { dials } = first.listeners.get(":443")!.routes.pipe(HashMap.getUnsafe(ROUTE.hostname))
      const change: Change = [
        { _tag: "RemoveListener", addr: ":443" },
        { _tag: "PutListener", listener: listenerAt(":443") },
        { _tag: "PutRoute", listener: ":443", route: ROUTE },
        { _tag: "RemoveListener", addr: ":8443" }
      ]
      const second = yield* apply(first, 2, change, yield* resources)
      assert.deepStrictEqual([...counters.listeners.keys()], [":443", ":8443"])
      second.settle()
      assert.deepStrictEqual([...counters.listeners.keys()], [":443"])
      assert.strictEqual(second.state.listeners.get(":443")!.counters, first.listeners.get(":443")!.counters)
      assert.strictEqual(
        second.state.listeners.get(":443")!.routes.pipe(HashMap.getUnsafe(ROUTE.hostname)).dials,
        dials
      )
    }).pipe(Effect.provide(layerResources))
  )

  it.effect("takes a route for a listener that is not there for a defect", () =>
    Effect.gen(function* () {
      const change: Change = [{ _tag: "PutRoute", listener: ":443", route: ROUTE }]
      const exit = yield* Effect.exit(apply(NOTHING, 1, change, yield* resources))
      assert.strictEqual(exit._tag, "Failure")
      assert.match(String(exit), /A route was published for :443, which is no listener/)
    }).pipe(Effect.provide(layerResources))
  )
})

const manyRules = (count: number): ReadonlyArray<FirewallRule> =>
  Array.from({ length: count }, (_, i) => ({ type: "ip", value: ipv4FromWord(i).text }))

describe("a long change", () => {
  const rules = manyRules(5000)
  const routes = Array.from({ length: 5000 }, (_, i) => ({ ...l4(`n${i}.test`), hostname: hostname(`n${i}.test`) }))
  const put = routes.map((route) => ({ _tag: "PutRoute", listener: ":443", route }) as const)

  /** Milliseconds in which connections had the thread to themselves. */
  const leftBy = Effect.fnUntraced(function* (change: Change) {
    const { state } = yield* compile({ listeners: [listenerAt(":443")], firewallRules: rules.slice(0, 10) })
    const applying = yield* Effect.forkChild(apply(state, 2, change, yield* resources), { startImmediately: true })
    let left = 0
    for (; applying.pollUnsafe() === undefined; left++) yield* TestClock.adjust("1 millis")
    yield* Fiber.join(applying)
    return left
  }, Effect.provide(layerResources))

  for (const [what, change] of [
    ["rules", [{ _tag: "PutRules", rules }]],
    ["rules to remove", [{ _tag: "RemoveRules", rules }]],
    ["routes", put]
  ] as ReadonlyArray<readonly [string, Change]>) {
    it.effect(`leaves connections the thread for 10 milliseconds at least, with 5000 ${what}`, () =>
      Effect.gen(function* () {
        assert.isAtLeast(yield* leftBy(change), 10)
      })
    )
  }

  it.effect("leaves it for as long however the rules are cut into edits", () =>
    Effect.gen(function* () {
      const whole = yield* leftBy([{ _tag: "PutRules", rules }])
      for (const size of [1, 250, 500, 1000]) {
        const edits = Array.from({ length: rules.length / size }, (_, i) => ({
          _tag: "PutRules" as const,
          rules: rules.slice(i * size, (i + 1) * size)
        }))
        assert.strictEqual(yield* leftBy(edits), whole, `${size} rules an edit`)
      }
    })
  )
})

describe("the first revision", () => {
  it.effect("does not wait for connections that there cannot be, but leaves others their turn", () =>
    Effect.gen(function* () {
      const compiling = yield* Effect.forkChild(compile({ listeners: [], firewallRules: manyRules(5000) }), {
        startImmediately: true
      })
      let turns = 0
      for (; compiling.pollUnsafe() === undefined; turns++) yield* Effect.yieldNow
      const { state } = yield* Fiber.join(compiling)
      assert.strictEqual(state.firewall.counts.ip, 5000)
      assert.isAtLeast(turns, 5)
    }).pipe(Effect.provide(layerResources))
  )
})

describe("an L7 route", () => {
  const BLOCKED = [{ type: "block_user_agent", value: "BadBot" }] as const
  const hostOf = (state: ProxyState) => {
    const compiled = Option.getOrThrow(HashMap.get(state.listeners.get(":443")!.routes, TERMINATED.hostname))
    if (!isL7(compiled)) throw new Error("It is no L7 route.")
    return compiled
  }
  class CountingConnection implements Retirable {
    previous: Retirable | undefined
    next: Retirable | undefined
    retired = 0
    retire(): void {
      this.retired++
    }
  }
  const start = Effect.gen(function* () {
    const own = yield* resources
    const before = (yield* compile({ listeners: [listenerAt(":443", { routes: [TERMINATED] })], firewallRules: [] }))
      .state
    const { host } = hostOf(before)
    const connection = new CountingConnection()
    host.enter(connection)
    return { before, connection, host, put: (change: Change) => apply(before, 2, change, own) }
  })

  it.effect("keeps its connections when its policies change, which hold once the revision is in force", () =>
    Effect.gen(function* () {
      const { connection, host, put } = yield* start
      const route = { ...TERMINATED, l7Policies: BLOCKED }
      const { settle, state } = yield* put([{ _tag: "PutRoute", listener: ":443", route }])
      assert.strictEqual(hostOf(state).host, host)
      assert.strictEqual(hostOf(state).route, route)
      assert.deepStrictEqual(host.policies, [])
      settle()
      assert.deepStrictEqual(host.policies, [{ type: "block_user_agent", value: "badbot" }])
      assert.strictEqual(connection.retired, 0)
    }).pipe(Effect.provide(layerResources))
  )

  const gone: Record<string, Change[number]> = {
    "replaced by another backend's": {
      _tag: "PutRoute",
      listener: ":443",
      route: { ...TERMINATED, backend: "192.0.2.9:1", l7Policies: BLOCKED }
    },
    "replaced by an L4 route": { _tag: "PutRoute", listener: ":443", route: ROUTE },
    removed: { _tag: "RemoveRoute", listener: ":443", hostname: TERMINATED.hostname },
    "removed with its listener": { _tag: "RemoveListener", addr: ":443" }
  }
  for (const [how, edit] of Object.entries(gone)) {
    it.effect(`that is ${how} lets its connections finish, as soon as that is in force`, () =>
      Effect.gen(function* () {
        const { connection, host, put } = yield* start
        const { settle } = yield* put([edit])
        assert.strictEqual(connection.retired, 0)
        settle()
        assert.strictEqual(connection.retired, 1)
        assert.deepStrictEqual(host.policies, [])
        const late = new CountingConnection()
        host.enter(late)
        assert.strictEqual(late.retired, 1)
      }).pipe(Effect.provide(layerResources))
    )
  }

  it.effect("has its certificate when it is in force, and gives it back when it has gone", () =>
    Effect.gen(function* () {
      const { before, put } = yield* start
      const { certificate } = hostOf(before)
      assert.strictEqual(certificate.certPath, TERMINATED.tlsCert)
      assert.include(certificate.problem, "no such file")
      const { certificates } = yield* resources
      const same = yield* put([{ _tag: "PutRoute", listener: ":443", route: { ...TERMINATED, backend: "b:1" } }])
      same.settle()
      assert.strictEqual(hostOf(same.state).certificate, certificate)
      assert.deepStrictEqual(certificates.failing(9), [certificate])
      const removed = { _tag: "RemoveRoute", listener: ":443", hostname: TERMINATED.hostname } as const
      ;(yield* apply(same.state, 3, [removed], yield* resources)).settle()
      assert.deepStrictEqual(certificates.failing(9), [])
    }).pipe(Effect.provide(layerResources))
  )

  it.effect("tells a connection that has left nothing", () =>
    Effect.gen(function* () {
      const { connection, host } = yield* start
      host.leave(connection)
      host.retire()
      assert.strictEqual(connection.retired, 0)
    }).pipe(Effect.provide(layerResources))
  )
})
