import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { Counters } from "../../src/observe/Counters.ts"
import { compileRoutes } from "../../src/routing/RouteTable.ts"
import { ROUTE, hostname } from "../pipeline/World.ts"

it.effect("has each route by its name, with where its backend is and how its dials went", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const named = { ...ROUTE, hostname: hostname("www.example.net"), backend: "backend.internal:8443" }
    const literal = { ...ROUTE, hostname: hostname("v6.example.net"), backend: "[2001:db8::1]:443" }
    const table = compileRoutes([named, literal], counters)
    assert.deepStrictEqual([...table.keys()].sort(), ["v6.example.net", "www.example.net"])
    const compiled = table.get(named.hostname)!
    assert.strictEqual(compiled.route, named)
    assert.deepStrictEqual(compiled.backend, { host: hostname("backend.internal"), port: 8443 })
    assert.strictEqual(compiled.dials, counters.backend("backend.internal:8443"))
    assert.deepStrictEqual(table.get(literal.hostname)?.backend, { host: parseIpAddress("2001:db8::1")!, port: 443 })
    assert.isUndefined(table.get(hostname("example.net")))
  }).pipe(Effect.provide(Counters.layer))
)

it.effect("counts the dials of a backend together, whichever route they are for", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const other = { ...ROUTE, hostname: hostname("www.example.net") }
    const table = compileRoutes([ROUTE, other], counters)
    assert.strictEqual(table.get(ROUTE.hostname)?.dials, table.get(other.hostname)?.dials)
    assert.deepStrictEqual([...counters.backends.keys()], [ROUTE.backend])
  }).pipe(Effect.provide(Counters.layer))
)

it.effect("takes a backend that nobody validated for a defect", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    assert.throws(() => compileRoutes([{ ...ROUTE, backend: "nowhere" }], counters))
  }).pipe(Effect.provide(Counters.layer))
)
