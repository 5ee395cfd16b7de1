import { assert, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { METRICS, startProxy } from "../harness/Proxy.ts"
import { scrape, scrapeUntil } from "../harness/Scrape.ts"
import { BLOCKED_NETWORK, KINDS, startWorld, visit } from "./MixedLoad.ts"

const CONNECTIONS = 2000
const AT_ONCE = 50
const LISTENER = `listener="127.0.0.1:0"`

it.live(
  "counts what the access log tells of 2,000 random connections, and adds up while they come",
  () =>
    Effect.gen(function* () {
      const world = yield* startWorld
      const proxy = yield* startProxy({
        listeners: [{ routes: world.routes }],
        firewall: { blocked_cidrs: [BLOCKED_NETWORK] },
        metrics: METRICS
      })
      const ids = Array.from({ length: CONNECTIONS }, (_, id) => id)
      const visitAll = Effect.forEach(
        ids,
        (id) => Effect.flatMap(Random.choice(KINDS), (kind) => visit(proxy.address, kind, id)),
        { concurrency: AT_ONCE, discard: true }
      )
      const watching = Effect.forever(
        Effect.map(scrape(proxy), (page) => {
          const closed = sum(Object.values(page.of("mcproxy_connections_closed_total")))
          const active = page.get(`mcproxy_connections_active{${LISTENER}}`)
          assert.strictEqual(page.get(`mcproxy_connections_total{${LISTENER}}`), active + closed)
        })
      )
      yield* Effect.raceFirst(visitAll, watching)

      const page = yield* scrapeUntil(
        proxy,
        "the end of every connection",
        (page) => page.get(`mcproxy_connections_active{${LISTENER}}`) === 0
      )
      yield* proxy.stop()
      const lines = proxy.accessLines
      assert.isAtLeast(lines.length, CONNECTIONS)
      assert.strictEqual(page.get(`mcproxy_connections_total{${LISTENER}}`), lines.length)
      const outcomes = Object.entries(Object.groupBy(lines, ({ outcome }) => outcome))
      assert.deepStrictEqual(
        page.of("mcproxy_connections_closed_total"),
        Object.fromEntries(outcomes.map(([outcome, ended]) => [`{${LISTENER},outcome="${outcome}"}`, ended?.length]))
      )
      assert.deepStrictEqual(page.of("mcproxy_transferred_bytes_total"), {
        [`{${LISTENER},direction="from_client"}`]: sum(lines.map(({ from_client }) => from_client)),
        [`{${LISTENER},direction="from_backend"}`]: sum(lines.map(({ from_backend }) => from_backend))
      })
      const blocked = lines.filter(({ outcome }) => outcome === "blocked_cidr").length
      assert.deepStrictEqual(page.of("mcproxy_firewall_blocked_total"), { '{reason="cidr"}': blocked })
      const dialled = Object.groupBy(
        lines.filter(({ dial_ms }) => dial_ms !== null),
        ({ backend }) => backend
      )
      assert.deepStrictEqual(
        page.of("mcproxy_backend_dial_duration_seconds_count"),
        Object.fromEntries(Object.entries(dialled).map(([backend, dials]) => [`{backend="${backend}"}`, dials?.length]))
      )
    }).pipe(Random.withSeed("reconcile")),
  60_000
)

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, number) => total + number, 0)
