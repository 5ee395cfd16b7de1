import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { GeoIp } from "../../src/firewall/GeoIp.ts"
import { RateLimiter } from "../../src/firewall/RateLimiter.ts"
import { Metrics } from "../../src/metrics/Metrics.ts"
import { LogSink } from "../../src/observe/LogSink.ts"
import { EVENTS_BUFFERED_MAX } from "../../src/server/ConnectionEvents.ts"
import { hostname, TERMINATED } from "../pipeline/World.ts"
import { connect, listenerAt, makePlane, snapshotOf } from "../server/Plane.ts"

const scrape = Effect.gen(function* () {
  return [...(yield* (yield* Metrics).scrape)].join("")
})

const linesOf = (page: string, name: string): ReadonlyArray<string> =>
  page.split("\n").filter((line) => line.startsWith(name))

it.effect("tells what is forgotten, what fails, what is dropped, and how old the database is", () =>
  Effect.gen(function* () {
    const { services } = yield* makePlane()
    const told = Layer.mergeAll(
      Layer.succeed(GeoIp, {
        country: () => "",
        reload: Effect.undefined,
        lookupFailures: 3,
        builtAtSeconds: 1_700_000_000
      }),
      Layer.succeed(RateLimiter, {
        admit: () => Effect.succeed(true),
        wouldAdmit: () => Effect.succeed(true),
        forgotten: Effect.succeed(5)
      }),
      Layer.succeed(LogSink, { write: () => undefined, dropped: 7 })
    )
    const layer = Metrics.layer("1.2.3").pipe(Layer.provide(told), Layer.provide(Layer.succeedContext(services)))
    const page = yield* Effect.provide(scrape, layer)
    for (const line of [
      'mcproxy_build_info{version="1.2.3"} 1',
      "mcproxy_geoip_lookup_failures_total 3",
      "mcproxy_geoip_database_build_timestamp_seconds 1700000000",
      "mcproxy_rate_limiter_forgotten_total 5",
      "mcproxy_log_dropped_total 7"
    ]) {
      assert.include(page, `${line}\n`)
    }
  })
)

it.effect("counts the events that a watcher was too slow for", () =>
  Effect.gen(function* () {
    const { connections, network, publish, services } = yield* makePlane({ socketsMax: 100 })
    yield* publish(snapshotOf([listenerAt(":443")]))
    yield* connections.watch
    const layer = Metrics.layer("").pipe(Layer.provide(Layer.succeedContext(services)))
    yield* Effect.gen(function* () {
      assert.include(yield* scrape, "mcproxy_connection_events_dropped_total 0\n")
      for (let i = 0; i < EVENTS_BUFFERED_MAX / 2 + 1; i++) connect(network, ":443").fail()
      assert.include(yield* scrape, "mcproxy_connection_events_dropped_total 2\n")
    }).pipe(Effect.provide(layer))
  })
)

it.effect("tells of requests by hostname for as long as an L7 route has that name", () =>
  Effect.gen(function* () {
    const { counters, publish, services } = yield* makePlane()
    yield* publish(snapshotOf([listenerAt(":443", { routes: [{ ...TERMINATED, hostname: hostname("a.test") }] })]))
    const requests = counters.hostnames.get("a.test")!
    requests.answered(200, 3)
    requests.answered(200, 40)
    requests.answered(502, 60_000)
    requests.policyBlocked.require_header++
    const layer = Metrics.layer("").pipe(Layer.provide(Layer.succeedContext(services)))
    yield* Effect.gen(function* () {
      const page = yield* scrape
      assert.deepStrictEqual(linesOf(page, "mcproxy_l7_"), [
        'mcproxy_l7_responses_total{hostname="a.test",code="200"} 2',
        'mcproxy_l7_responses_total{hostname="a.test",code="502"} 1',
        'mcproxy_l7_policy_blocked_total{hostname="a.test",type="block_user_agent"} 0',
        'mcproxy_l7_policy_blocked_total{hostname="a.test",type="require_header"} 1',
        ...[0, 1, 2, 2, 2, 2, 2].map((count, i) => {
          const le = [0.0025, 0.01, 0.05, 0.25, 1, 5, 30][i]
          return `mcproxy_l7_request_duration_seconds_bucket{hostname="a.test",le="${le}"} ${count}`
        }),
        'mcproxy_l7_request_duration_seconds_bucket{hostname="a.test",le="+Inf"} 3',
        'mcproxy_l7_request_duration_seconds_sum{hostname="a.test"} 60.043',
        'mcproxy_l7_request_duration_seconds_count{hostname="a.test"} 3'
      ])
      yield* publish(snapshotOf([listenerAt(":443")]))
      assert.deepStrictEqual(linesOf(yield* scrape, "mcproxy_l7_"), [])
    }).pipe(Effect.provide(layer))
  })
)

it.effect("samples how late the event loop is", () =>
  Effect.gen(function* () {
    const { services } = yield* makePlane()
    const layer = Metrics.layer("").pipe(Layer.provide(Layer.succeedContext(services)))
    yield* Effect.gen(function* () {
      assert.include(yield* scrape, "mcproxy_event_loop_lag_seconds_count 0\n")
      yield* TestClock.adjust("1 second")
      const page = yield* scrape
      assert.include(page, "mcproxy_event_loop_lag_seconds_count 10\n")
      assert.include(page, "mcproxy_event_loop_lag_seconds_sum 0\n")
    }).pipe(Effect.provide(layer))
  })
)
