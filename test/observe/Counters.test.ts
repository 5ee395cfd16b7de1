import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { Counters, DIAL_BUCKETS_MS, DialHistogram, ListenerCounters } from "../../src/observe/Counters.ts"
import { OUTCOMES } from "../../src/pipeline/Outcome.ts"

it("derives the active connections from those accepted and those closed", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.constantFrom(...OUTCOMES))), (ends) => {
      const counters = new ListenerCounters()
      for (const outcome of ends) {
        counters.connectionsTotal++
        if (outcome !== null) counters.closed[outcome]++
      }
      assert.strictEqual(counters.active, ends.filter((outcome) => outcome === null).length)
    })
  )
})

it("puts a dial into the first bucket whose bound is not below it", () => {
  const durations = fc.oneof(
    fc.constantFrom(0, ...DIAL_BUCKETS_MS, 10_001),
    fc.double({ min: 0, max: 2e4, noNaN: true })
  )
  fc.assert(
    fc.property(fc.array(durations), (dials) => {
      const histogram = new DialHistogram()
      for (const ms of dials) histogram.observe(ms)
      let atMost = 0
      DIAL_BUCKETS_MS.forEach((bound, i) => {
        atMost += histogram.counts[i]!
        assert.strictEqual(atMost, dials.filter((ms) => ms <= bound).length)
      })
      assert.strictEqual(histogram.count, dials.length)
      assert.closeTo(
        histogram.sumMs,
        dials.reduce((sum, ms) => sum + ms, 0),
        1e-6
      )
    })
  )
})

it.effect("counts a listener in one place until it is forgotten", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    assert.strictEqual(counters.listener(":443"), counters.listener(":443"))
    counters.listener(":443").connectionsTotal = 3
    counters.listener(":8443")
    assert.deepStrictEqual([...counters.listeners.keys()], [":443", ":8443"])

    counters.forgetListener(":443")
    assert.deepStrictEqual([...counters.listeners.keys()], [":8443"])
    assert.strictEqual(counters.listener(":443").connectionsTotal, 0)
  }).pipe(Effect.provide(Counters.layer))
)

it.effect("counts the dials of a backend in one place for as long as a route names it", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const dials = counters.retainBackend("a:1")
    dials.observe(4)
    counters.retainBackend("b:1")
    assert.strictEqual(counters.retainBackend("a:1"), dials)
    assert.deepStrictEqual(
      [...counters.backends],
      [
        ["a:1", dials],
        ["b:1", new DialHistogram()]
      ]
    )

    counters.releaseBackend("a:1")
    assert.strictEqual(counters.backends.get("a:1"), dials)
    counters.releaseBackend("a:1")
    assert.deepStrictEqual([...counters.backends.keys()], ["b:1"])
    assert.strictEqual(counters.retainBackend("a:1").count, 0)
  }).pipe(Effect.provide(Counters.layer))
)

it.effect("sums what the firewall blocked over all listeners, by reason", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const [a, b] = [counters.listener(":1"), counters.listener(":2")]
    a.closed.blocked_ip = 1
    b.closed.blocked_ip = 2
    a.closed.blocked_cidr = 3
    b.closed.blocked_country = 4
    a.closed.rate_limited = 5
    a.closed.no_route = 6
    assert.deepStrictEqual(counters.firewallBlocked(), { ip: 3, cidr: 3, country: 4, rate_limit: 5 })
  }).pipe(Effect.provide(Counters.layer))
)

it.effect("keeps what a forgotten listener has blocked, and what its last connections add", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const old = counters.listener(":1")
    old.connectionsTotal = 3
    old.closed.blocked_ip = 1
    counters.forgetListener(":1")
    assert.strictEqual(counters.firewallBlocked().ip, 1)
    counters.listener(":1").closed.blocked_ip = 10
    old.closed.blocked_ip++
    assert.strictEqual(counters.firewallBlocked().ip, 12)
    old.closed.done++
    assert.strictEqual(old.active, 0)
    assert.strictEqual(counters.firewallBlocked().ip, 12)
    assert.strictEqual(counters.firewallBlocked().ip, 12)
  }).pipe(Effect.provide(Counters.layer))
)
