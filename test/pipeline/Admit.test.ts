import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { address } from "../proxyproto/ProxyHeaders.ts"
import { assertOutcome, assertServing, closedOf, hello, makeWorld } from "./World.ts"

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
