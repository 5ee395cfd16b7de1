import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { Counters } from "../../src/observe/Counters.ts"
import { compileRoute } from "../../src/routing/RouteTable.ts"
import { Certificates } from "../../src/tls/Certificates.ts"
import { NO_CERTIFICATES, ROUTE, hostname } from "../pipeline/World.ts"

const layerResources = Layer.merge(Counters.layer, NO_CERTIFICATES)

it.effect("says where a route's backend is and how its dials went", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const certificates = yield* Certificates
    const named = { ...ROUTE, hostname: hostname("www.example.net"), backend: "backend.internal:8443" }
    const compiled = compileRoute(named, { counters, certificates })
    assert.strictEqual(compiled.route, named)
    assert.deepStrictEqual(compiled.backend, { host: hostname("backend.internal"), port: 8443 })
    assert.strictEqual(compiled.dials, counters.backends.get("backend.internal:8443"))
    const literal = compileRoute({ ...ROUTE, backend: "[2001:db8::1]:443" }, { counters, certificates })
    assert.deepStrictEqual(literal.backend, { host: parseIpAddress("2001:db8::1")!, port: 443 })
  }).pipe(Effect.provide(layerResources))
)

it.effect("counts the dials of a backend together, whichever route they are for", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const certificates = yield* Certificates
    const other = { ...ROUTE, hostname: hostname("www.example.net") }
    assert.strictEqual(
      compileRoute(ROUTE, { counters, certificates }).dials,
      compileRoute(other, { counters, certificates }).dials
    )
    assert.deepStrictEqual([...counters.backends.keys()], [ROUTE.backend])
  }).pipe(Effect.provide(layerResources))
)

it.effect("takes a backend that nobody validated for a defect", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const certificates = yield* Certificates
    assert.throws(() => compileRoute({ ...ROUTE, backend: "nowhere" }, { counters, certificates }))
  }).pipe(Effect.provide(layerResources))
)
