import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import type { ConnectionQuestion, Explanation } from "../../src/pipeline/Explain.ts"
import type { Outcome } from "../../src/pipeline/Outcome.ts"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { address } from "../proxyproto/ProxyHeaders.ts"
import { concat } from "../tls/TlsBuilder.ts"
import { ROUTE, TERMINATED, forAll, hello, hostname, makeWorld, type World, type WorldOptions } from "./World.ts"

const QUESTION: ConnectionQuestion = { listener: ":443", clientIp: "203.0.113.7", hostname: ROUTE.hostname }

const ask = Effect.fnUntraced(function* (options: WorldOptions, question: Partial<ConnectionQuestion> = {}) {
  const world = yield* makeWorld(options)
  return yield* world.explain({ ...QUESTION, ...question })
})

const verdictsOf = (explanation: Explanation | undefined) =>
  explanation?.stages.map(({ stage, verdict }) => `${stage} ${verdict}`)

describe("explains a connection", () => {
  it.effect("that would be relayed, stage by stage", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ask({ country: () => "DE" }), {
        outcome: "routed",
        country: "DE",
        rule: undefined,
        route: ROUTE,
        stages: [
          { stage: "identify", verdict: "pass", detail: "203.0.113.7 is the TCP peer" },
          { stage: "admit", verdict: "pass", detail: "no rule and no rate limit blocks it" },
          {
            stage: "peek",
            verdict: "unknown",
            detail: "a whole ClientHello that names git.example.net is taken for granted"
          },
          { stage: "route", verdict: "pass", detail: "l4 to 192.0.2.10:18443" },
          { stage: "relay", verdict: "unknown", detail: "the backend 192.0.2.10:18443 is not dialled" }
        ]
      })
    })
  )

  it.effect("whose address only a PROXY header could tell", () =>
    Effect.gen(function* () {
      const explanation = yield* ask({ listener: { proxyProtocol: true, trustedProxies: ["192.0.2.0/24"] } })
      assert.deepInclude(explanation?.stages[0], { stage: "identify", verdict: "unknown" })
      assert.include(explanation?.stages[0]?.detail, "203.0.113.7 is taken for whom the PROXY header names")
      assert.strictEqual(explanation?.outcome, "routed")
    })
  )

  it.effect("that a rule would block, with the rule and the country", () =>
    Effect.gen(function* () {
      const rule: FirewallRule = { type: "cidr", value: "203.0.113.0/24" }
      const explanation = yield* ask({ rules: [rule], country: () => "DE" })
      assert.deepStrictEqual(explanation, {
        outcome: "blocked_cidr",
        country: "DE",
        rule,
        route: undefined,
        stages: [
          { stage: "identify", verdict: "pass", detail: "203.0.113.7 is the TCP peer" },
          { stage: "admit", verdict: "refuse", detail: "blocked by the rule cidr 203.0.113.0/24" }
        ]
      })
    })
  )

  it.effect("for a name that no route is for", () =>
    Effect.gen(function* () {
      const explanation = yield* ask({}, { hostname: hostname("other.example.net") })
      assert.deepInclude(explanation, { outcome: "no_route", route: undefined })
      assert.deepStrictEqual(verdictsOf(explanation), ["identify pass", "admit pass", "peek unknown", "route refuse"])
    })
  )

  it.effect("for a route whose certificate is not loaded", () =>
    Effect.gen(function* () {
      const explanation = yield* ask({ listener: { routes: [TERMINATED] } })
      assert.deepInclude(explanation, { outcome: "certificate_unavailable", route: TERMINATED })
      assert.deepStrictEqual(verdictsOf(explanation)?.slice(3), ["route pass", "terminate refuse"])
    })
  )

  it.effect("on a listener that is not there by nothing", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* ask({}, { listener: ":8443" }))
    })
  )
})

it.effect("asks for the rate limit and spends none of it", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ rateLimit: 1 })
    for (let i = 0; i < 3; i++) assert.deepInclude(yield* world.explain(QUESTION), { outcome: "routed" })
    world.connect(hello("git.example.net"))
    const explanation = yield* world.explain(QUESTION)
    assert.deepInclude(explanation, { outcome: "rate_limited", rule: undefined })
    assert.deepStrictEqual(verdictsOf(explanation), ["identify pass", "admit refuse"])
    assert.lengthOf(world.network.dials, 1)
  })
)

/** What has become of a connection: how it has ended, or that it is being relayed. */
const fateOf = (world: World, id: string): Outcome | "routed" =>
  world.entries.find((entry) => entry.id === id)?.outcome ?? "routed"

const IPS = ["192.0.2.1", "192.0.2.2", "203.0.113.7", "2001:db8::1", "2001:db8:0:1::1"]
const COUNTRIES = new Map([
  ["192.0.2.1", "DE"],
  ["203.0.113.7", "FR"]
])
const NAMES = ["a.test", "b.test", "c.test"].map(hostname)

const worlds = fc.record({
  rules: fc.subarray<FirewallRule>([
    { type: "ip", value: "192.0.2.1" },
    { type: "ip", value: "2001:db8::1" },
    { type: "cidr", value: "192.0.2.0/31" },
    { type: "cidr", value: "2001:db8::/64" },
    { type: "country", value: "DE" },
    { type: "country", value: "FR" }
  ]),
  routes: fc
    .tuple(fc.subarray(NAMES), fc.subarray(NAMES))
    .map(([l4, l7]) => [
      ...l4.filter((name) => !l7.includes(name)).map((name) => ({ ...ROUTE, hostname: name })),
      ...l7.map((name) => ({ ...TERMINATED, hostname: name }))
    ]),
  proxyProtocol: fc.boolean(),
  rateLimit: fc.nat({ max: 3 }),
  visits: fc.array(fc.record({ clientIp: fc.constantFrom(...IPS), hostname: fc.constantFrom(...NAMES) }), {
    minLength: 1,
    maxLength: 12
  })
})

it.effect("says what the pipeline then does, whatever the rules, routes, clients and names", () =>
  Effect.gen(function* () {
    const seen = new Set<string>()
    yield* forAll(
      worlds,
      150,
      Effect.fnUntraced(function* ({ proxyProtocol, rateLimit, routes, rules, visits }) {
        const world = yield* makeWorld({
          rules,
          rateLimit,
          listener: { routes, proxyProtocol },
          country: ({ text }) => COUNTRIES.get(text) ?? "",
          socketsMax: 100
        })
        for (const visit of visits) {
          const explanation = yield* world.explain({ ...visit, listener: ":443" })
          const { clientIp: ip, hostname: name } = visit
          const header = `PROXY TCP${ip.includes(":") ? 6 : 4} ${ip} ${ip.includes(":") ? "::1" : "10.0.0.1"} 700 443\r\n`
          const { live } = proxyProtocol
            ? world.connect(concat(Buffer.from(header), hello(name)), { peer: address("10.9.9.9", 1) })
            : world.connect(hello(name), { peer: address(ip, 700) })
          const fate = fateOf(world, live.id)
          const { country = "", route } = live.known
          const entry = world.entries.find(({ id }) => id === live.id)
          const { rule } = explanation ?? {}
          assert.deepInclude(explanation, { outcome: fate, country, route: route?.route })
          assert.strictEqual(rule === undefined ? "" : `${rule.type} ${rule.value}`, entry?.rule ?? "")
          assert.strictEqual(explanation?.stages.at(-1)?.verdict === "refuse", fate !== "routed")
          seen.add(fate)
        }
      })
    )
    assert.sameMembers(
      [...seen],
      ["routed", "blocked_ip", "blocked_cidr", "blocked_country", "rate_limited", "no_route", "certificate_unavailable"]
    )
  })
)
