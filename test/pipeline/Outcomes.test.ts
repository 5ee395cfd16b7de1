import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import type { ConnectionEntry } from "../../src/observe/AccessLog.ts"
import { OUTCOMES, type Outcome } from "../../src/pipeline/Outcome.ts"
import { address } from "../proxyproto/ProxyHeaders.ts"
import { concat } from "../tls/TlsBuilder.ts"
import {
  TERMINATED,
  assertNothingHeld,
  closedOf,
  entryOf,
  hello,
  makeWorld,
  type Connected,
  type World,
  type WorldOptions
} from "./World.ts"

/** One way to an end. What it says of the entry is all in which that differs from a client's that got nowhere. */
interface Scenario extends WorldOptions {
  play(world: World): Effect.Effect<Connected>
  readonly entry?: Partial<ConnectionEntry>
  /** Otherwise there was none. */
  readonly backendEnd?: "reset" | "closed"
}

const NAMED = { hostname: "git.example.net" }
const ROUTED = { ...NAMED, backend: "192.0.2.10:18443", mode: "l4" } as const
const RELAYED = { ...ROUTED, fromClient: 300, fromBackend: 70_000, durationMs: 1090, dialMs: 40 }

const sends = (bytes: Uint8Array) => (world: World) => Effect.sync(() => world.connect(bytes))

const getsTo = (name: string, then: (connected: Connected, world: World) => Effect.Effect<void>) =>
  Effect.fnUntraced(function* (world: World) {
    const connected = world.connect(hello(name))
    yield* then(connected, world)
    return connected
  })

/** The dial takes 40 ms, and the relay another 1050, in which 300 bytes go one way and 70,000 the other. */
const relays = (then: (connected: Connected, world: World) => void) =>
  getsTo("git.example.net", (connected, world) =>
    Effect.gen(function* () {
      yield* TestClock.adjust(40)
      const backend = world.answerDial()
      yield* TestClock.adjust(1050)
      backend.bytesWritten += 300
      connected.socket.bytesWritten += 70_000
      then(connected, world)
    })
  )

const SCENARIOS: Partial<Record<Outcome, Scenario>> = {
  max_connections: {
    listener: { maxConnections: 1 },
    play: (world) =>
      Effect.sync(() => {
        world.connect()
        return world.connect(hello("git.example.net"))
      })
  },
  descriptors: {
    socketsMax: 2,
    play: (world) =>
      Effect.sync(() => {
        world.connect()
        return world.connect(hello("git.example.net"))
      })
  },
  untrusted_proxy: {
    listener: { proxyProtocol: true, trustedProxies: ["192.0.2.0/24"] },
    play: sends(Buffer.from("PROXY TCP4 198.51.100.9 198.51.100.1 700 443\r\n"))
  },
  proxy_header: { listener: { proxyProtocol: true }, play: sends(hello("git.example.net")) },
  blocked_ip: {
    rules: [{ type: "ip", value: "203.0.113.7" }],
    play: sends(hello("git.example.net")),
    entry: { rule: "ip 203.0.113.7" }
  },
  blocked_cidr: {
    rules: [{ type: "cidr", value: "203.0.113.0/24" }],
    play: sends(hello("git.example.net")),
    entry: { rule: "cidr 203.0.113.0/24" }
  },
  blocked_country: {
    rules: [{ type: "country", value: "KP" }],
    country: () => "KP",
    play: sends(hello("git.example.net")),
    entry: { country: "KP", rule: "country KP" }
  },
  rate_limited: {
    rateLimit: 1,
    play: (world) =>
      Effect.sync(() => {
        world.connect()
        return world.connect(hello("git.example.net"))
      })
  },
  not_tls: { country: () => "DE", play: sends(Buffer.from("GET / HTTP/1.1\r\n")), entry: { country: "DE" } },
  hello_too_large: { settings: { helloBytesMax: 64 }, play: sends(hello("git.example.net")) },
  hello_timeout: {
    play: Effect.fnUntraced(function* (world) {
      const connected = world.connect(hello("git.example.net").subarray(0, -1))
      yield* TestClock.adjust(10_000)
      return connected
    }),
    entry: { durationMs: 10_000 }
  },
  client_closed: {
    play: (world) =>
      Effect.sync(() => {
        const connected = world.connect(hello("git.example.net").subarray(0, -1))
        connected.socket.finish()
        return connected
      })
  },
  no_sni: { play: sends(hello()) },
  no_route: { play: sends(hello("other.example.net")), entry: { hostname: "other.example.net" } },
  dial_failed: {
    play: getsTo("git.example.net", (_, world) =>
      Effect.sync(() => world.network.dials[0]!.answer(Effect.fail({ _tag: "dial_failed", reason: "refused" })))
    ),
    entry: ROUTED
  },
  dial_timeout: {
    play: getsTo("git.example.net", () => TestClock.adjust(5000)),
    entry: { ...ROUTED, durationMs: 5000 }
  },
  certificate_unavailable: {
    listener: { routes: [TERMINATED] },
    play: sends(hello("git.example.net")),
    entry: { ...ROUTED, mode: "l7" }
  },
  done: {
    play: relays((_, world) => world.network.relays[0]!.end(Effect.succeed("done"))),
    entry: RELAYED,
    backendEnd: "closed"
  },
  idle_timeout: {
    play: relays((_, world) => world.network.relays[0]!.end(Effect.succeed("idle_timeout"))),
    entry: RELAYED,
    backendEnd: "reset"
  },
  half_close_timeout: {
    play: relays((_, world) => world.network.relays[0]!.end(Effect.succeed("half_close_timeout"))),
    entry: RELAYED,
    backendEnd: "reset"
  },
  reset: {
    play: relays((_, world) => world.network.relays[0]!.end(Effect.succeed("reset"))),
    entry: RELAYED,
    backendEnd: "reset"
  },
  closed_by_admin: { play: relays(({ live }) => live.end("closed_by_admin")), entry: RELAYED, backendEnd: "reset" },
  shutdown: { play: relays((_, world) => world.connections.endAll("shutdown")), entry: RELAYED, backendEnd: "reset" },
  internal: { play: relays(({ fiber }) => fiber.interruptUnsafe()), entry: RELAYED, backendEnd: "reset" }
}

/** A handshake is L7's. */
const BEYOND_L4: ReadonlyArray<Outcome> = ["handshake_failed", "handshake_timeout"]

describe("every outcome", () => {
  for (const outcome of OUTCOMES.filter((each) => !BEYOND_L4.includes(each))) {
    it.effect(`ends one connection as ${outcome}, counted and logged once`, () =>
      Effect.gen(function* () {
        const scenario = SCENARIOS[outcome]!
        yield* TestClock.adjust("3 hours")
        const world = yield* makeWorld(scenario)
        const room = world.room()
        const connected = yield* scenario.play(world)

        assert.deepStrictEqual(world.entries, [entryOf(connected, { ...scenario.entry, outcome })])
        assert.deepStrictEqual(closedOf(world), { [outcome]: 1 })
        assert.strictEqual(world.listenerCounters.bytesFromClient, scenario.entry?.fromClient ?? 0)
        assert.strictEqual(world.listenerCounters.bytesFromBackend, scenario.entry?.fromBackend ?? 0)
        assert.strictEqual(connected.socket.end, outcome === "done" ? "closed" : "reset")
        assert.strictEqual(world.backends[0]?.end, scenario.backendEnd)
        assert.isUndefined(world.connections.get(connected.live.id))
        assert.lengthOf(world.lines, ["internal", "dial_failed", "dial_timeout"].includes(outcome) ? 1 : 0)

        world.connections.endAll("shutdown")
        assertNothingHeld(world, room)
      })
    )
  }
})

it.effect("names client and peer in the entry when a header tells them apart", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ listener: { proxyProtocol: true }, country: () => "FR" })
    const connected = world.connect(Buffer.from("PROXY TCP6 2001:db8::7 2001:db8::1 700 443\r\nSSH-2.0"), {
      peer: address("192.0.2.1", 40_000)
    })
    assert.deepStrictEqual(world.entries, [
      entryOf(connected, {
        outcome: "not_tls",
        client: "[2001:db8::7]:700",
        peer: "192.0.2.1:40000",
        country: "FR"
      })
    ])
  })
)

it.effect("names the header's client when the firewall breaks down over it", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({
      listener: { proxyProtocol: true },
      country: () => {
        throw new Error("a bug of ours")
      }
    })
    world.connect(Buffer.from("PROXY TCP4 198.51.100.9 198.51.100.1 700 443\r\n"))
    assert.deepInclude(world.entries[0], { outcome: "internal", client: "198.51.100.9:700" })
  })
)

it.effect("tells at level debug what the outcome alone does not", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ listener: { proxyProtocol: true }, logLevel: "debug" })
    const malformed = world.connect(Buffer.from("PROXY TCP5"))
    const refused = world.connect(concat(Buffer.from("PROXY UNKNOWN\r\n"), hello("git.example.net")))
    world.network.dials[0]!.answer(Effect.fail({ _tag: "dial_failed", reason: "connection refused" }))
    world.connect(concat(Buffer.from("PROXY UNKNOWN\r\n"), hello()))
    assert.lengthOf(world.lines, 3)
    assert.match(world.lines[0]!, new RegExp(` DEBUG proxy_header id=${malformed.live.id} reason="does not start`))
    assert.include(world.lines[1], " WARN  a backend cannot be reached ")
    assert.match(world.lines[2]!, new RegExp(` DEBUG dial_failed id=${refused.live.id} reason="connection refused"`))
  })
)

it.effect("warns of a backend that cannot be reached once a minute, however many clients ask for it", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const failNext = () => {
      world.connect(hello("git.example.net"))
      world.network.dials.at(-1)!.answer(Effect.fail({ _tag: "dial_failed", reason: "ECONNREFUSED" }))
    }
    failNext()
    failNext()
    assert.lengthOf(world.lines, 1)
    assert.include(world.lines[0], "a backend cannot be reached hostname=git.example.net backend=192.0.2.10:18443")
    assert.include(world.lines[0], "reason=ECONNREFUSED")
    yield* TestClock.adjust("1 minute")
    failNext()
    assert.lengthOf(world.lines, 2)
  })
)

it.effect("counts what the backend has taken up to when its socket is closed", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    world.connect(hello("git.example.net"))
    const backend = world.answerDial()
    const reset = backend.reset.bind(backend)
    backend.reset = () => {
      backend.bytesWritten += 7
      reset()
    }
    world.network.relays[0]!.end(Effect.succeed("idle_timeout"))
    assert.strictEqual(world.entries[0]?.fromClient, 7)
  })
)

it.effect("makes no entry when the access log is off", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ accessLog: false })
    world.connect(hello("other.example.net"))
    assert.deepStrictEqual(closedOf(world), { no_route: 1 })
    assert.deepStrictEqual(world.entries, [])
  })
)
