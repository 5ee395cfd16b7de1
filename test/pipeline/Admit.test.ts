import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { address, v2 } from "../proxyproto/ProxyHeaders.ts"
import { concat } from "../tls/TlsBuilder.ts"
import { assertOutcome, assertServing, closedOf, forAll, hello, makeWorld } from "./World.ts"

const IP: FirewallRule = { type: "ip", value: "203.0.113.7" }
const CIDR: FirewallRule = { type: "cidr", value: "203.0.113.0/24" }
const COUNTRY: FirewallRule = { type: "country", value: "KP" }

it.effect("asks addresses, networks, countries and then the rate, and names what blocked", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ rules: [COUNTRY, CIDR, IP], country: () => "KP", rateLimit: 1 })
    // What is blocked spends no quota, so that the limit of one is met by the client that is not.
    assertOutcome(world, world.connect(), "blocked_ip")
    world.setRules([COUNTRY, CIDR])
    assertOutcome(world, world.connect(), "blocked_cidr")
    world.setRules([COUNTRY])
    assertOutcome(world, world.connect(), "blocked_country")
    world.setRules([])
    assertServing(world, world.connect())
    assertOutcome(world, world.connect(), "rate_limited")
    // With its quota spent, a client is blocked by the rule all the same.
    world.setRules([COUNTRY])
    assertOutcome(world, world.connect(), "blocked_country")

    assert.deepStrictEqual(
      world.entries.map(({ country, rule }) => `${country}: ${rule}`),
      ["KP: ip 203.0.113.7", "KP: cidr 203.0.113.0/24", "KP: country KP", "KP: ", "KP: country KP"]
    )
  })
)

it.effect("reads nothing of a client that it refuses", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ rules: [IP], rateLimit: 1 })
    const blocked = world.open()
    blocked.send(hello("git.example.net"))
    assertOutcome(world, world.accept(blocked), "blocked_ip")
    assert.strictEqual(blocked.peeks, 0)

    world.setRules([])
    world.connect()
    const limited = world.open()
    limited.send(hello("git.example.net"))
    assertOutcome(world, world.accept(limited), "rate_limited")
    assert.strictEqual(limited.peeks, 0)
  })
)

it.effect("blocks no address whose country is not known", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ rules: [COUNTRY], country: ({ family }) => (family === 4 ? "" : "KP") })
    assertServing(world, world.connect())
    assertOutcome(world, world.connect(undefined, { peer: address("2001:db8::7", 1) }), "blocked_country")
  })
)

it.effect("admits again when the window has passed, and does not count what it refused", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ rateLimit: 2 })
    world.connect()
    yield* TestClock.adjust("30 seconds")
    world.connect()
    for (let i = 0; i < 3; i++) assertOutcome(world, world.connect(), "rate_limited")
    yield* TestClock.adjust("30 seconds")
    const admitted = world.connect()
    assertServing(world, admitted)
    assertOutcome(world, world.connect(), "rate_limited")
    assert.deepStrictEqual(closedOf(world), { rate_limited: 4, hello_timeout: 2 })
  })
)

it.effect("spends the quota of a client that then says nothing of use", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ rateLimit: 1 })
    assertOutcome(world, world.connect(Buffer.from("SSH-2.0")), "not_tls")
    assertOutcome(world, world.connect(hello("git.example.net")), "rate_limited")
  })
)

/** As a PROXY header spells them; with which of the rules block them, and whose quota they spend. */
const SOURCES = [
  { text: "203.0.113.7", ip: "203.0.113.7", cidr: "203.0.113.0/24", country: "KP", quota: "203.0.113.7" },
  { text: "::ffff:203.0.113.7", ip: "203.0.113.7", cidr: "203.0.113.0/24", country: "KP", quota: "203.0.113.7" },
  { text: "::FFFF:cb00:7108", ip: "203.0.113.8", cidr: "203.0.113.0/24", country: "KP", quota: "203.0.113.8" },
  { text: "2001:db8::7", ip: "2001:db8::7", cidr: "2001:db8::/64", country: "", quota: "2001:db8::/64" },
  { text: "2001:DB8:0::0:8", ip: "2001:db8::8", cidr: "2001:db8::/64", country: "", quota: "2001:db8::/64" },
  { text: "2001:db8:0:1::7", ip: "2001:db8:0:1::7", cidr: "2001:db8:0:1::/64", country: "", quota: "2001:db8:0:1::/64" }
] as const

const BALANCER = { ip: "192.0.2.1", cidr: "192.0.2.0/24", country: "KP" }

type Source = Pick<(typeof SOURCES)[number] | typeof BALANCER, "ip" | "cidr" | "country">

const blockOf = (rules: ReadonlyArray<FirewallRule>, source: Source) =>
  (["ip", "cidr", "country"] as const).find((type) =>
    rules.some((rule) => rule.type === type && rule.value === source[type])
  )

const headerOf = ({ text }: (typeof SOURCES)[number]): Uint8Array =>
  Buffer.from(
    `PROXY TCP${text.includes(":") ? 6 : 4} ${text} ${text.includes(":") ? "::1" : "198.51.100.1"} 700 443\r\n`
  )

const anyRule = fc.oneof(
  fc.constantFrom(...SOURCES, BALANCER).map(({ ip }): FirewallRule => ({ type: "ip", value: ip })),
  fc.constantFrom(...SOURCES, BALANCER).map(({ cidr }): FirewallRule => ({ type: "cidr", value: cidr })),
  fc.constant(COUNTRY)
)

const anyStep = fc.oneof(
  { weight: 6, arbitrary: fc.record({ does: fc.constant("connect" as const), source: fc.constantFrom(...SOURCES) }) },
  fc.record({ does: fc.constant("probe" as const) }),
  fc.record({ does: fc.constant("wait" as const), ms: fc.oneof(fc.nat(60_001), fc.constantFrom(1, 59_999, 60_000)) }),
  fc.record({ does: fc.constant("rules" as const), rules: fc.array(anyRule, { maxLength: 3 }) })
)

const WINDOW_MS = 60_000

it.effect("decides as a list of rules and a list of admissions do, under any rules and at any times", () =>
  forAll(
    fc.record({
      limit: fc.integer({ min: 1, max: 3 }),
      steps: fc.array(anyStep, { maxLength: 30, size: "max" })
    }),
    100,
    Effect.fnUntraced(function* ({ limit, steps }) {
      const listener = { proxyProtocol: true, trustedProxies: [BALANCER.ip] }
      const country = ({ family }: { readonly family: 4 | 6 }) => (family === 4 ? "KP" : "")
      const world = yield* makeWorld({ listener, rateLimit: limit, country })
      let rules: ReadonlyArray<FirewallRule> = []
      let admissions: ReadonlyArray<{ readonly quota: string; readonly at: number }> = []
      let now = 0
      const connect = (header: Uint8Array) =>
        world.connect(concat(header, Buffer.from("no hello")), { peer: address(BALANCER.ip, 1) })
      for (const step of steps) {
        if (step.does === "wait") {
          now += step.ms
          yield* TestClock.adjust(step.ms)
        } else if (step.does === "rules") {
          rules = step.rules
          world.setRules(rules)
        } else if (step.does === "probe") {
          const block = blockOf(rules, BALANCER)
          assertOutcome(world, connect(v2(0x20, 0)), block === undefined ? "not_tls" : `blocked_${block}`)
        } else {
          const { quota } = step.source
          const block = blockOf(rules, step.source)
          const spent = admissions.filter((one) => one.quota === quota && now - one.at < WINDOW_MS).length
          if (block === undefined && spent < limit) admissions = [...admissions, { quota, at: now }]
          const admitted = spent < limit ? "not_tls" : "rate_limited"
          assertOutcome(world, connect(headerOf(step.source)), block === undefined ? admitted : `blocked_${block}`)
        }
      }
    })
  )
)
