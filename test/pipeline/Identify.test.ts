import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { formatSocketAddress } from "../../src/net/SocketAddress.ts"
import { writeProxyHeader } from "../../src/proxyproto/ProxyHeaderV2.ts"
import { address, v2 } from "../proxyproto/ProxyHeaders.ts"
import { concat } from "../tls/TlsBuilder.ts"
import {
  assertOutcome,
  assertServing,
  closedOf,
  forAll,
  hello,
  makeWorld,
  segments,
  type Connected,
  type World
} from "./World.ts"

const HELLO = hello("git.example.net")
const V1 = Buffer.from("PROXY TCP4 198.51.100.9 198.51.100.1 700 443\r\n")
const V2 = writeProxyHeader({
  client: address("2001:db8::7", 701),
  destination: address("2001:db8::1", 443),
  authority: "git.example.net",
  uniqueId: "1"
})
const LOCAL_V2 = v2(0x20, 0, new Uint8Array(20))
const UNKNOWN_V1 = Buffer.from("PROXY UNKNOWN 1 2 3 4\r\n")
/** A proxied connection over a Unix socket: somebody's, but with no address we know. */
const UNIX_V2 = v2(0x21, 0x31, new Uint8Array(216))

const PROXY = address("192.0.2.1", 40_000)
const ANYONE = { listener: { proxyProtocol: true } }
const LISTED = { listener: { proxyProtocol: true, trustedProxies: ["192.0.2.0/24", "2001:db8::5"] } }

const clientOf = ({ live }: Connected): string | undefined =>
  live.known.client && formatSocketAddress(live.known.client)

/** The connection has come to its dial, with nothing taken of its hello. */
const assertDialling = (world: World, connected: Connected): void => {
  assertServing(world, connected)
  assert.lengthOf(world.network.dials, 1)
  assert.deepStrictEqual(Buffer.from(connected.socket.unread), Buffer.from(HELLO))
}

it.effect("takes the header of whoever connects when no proxies are listed", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld(ANYONE)
    const connected = world.connect(concat(V1, HELLO), { peer: PROXY })
    assertDialling(world, connected)
    assert.strictEqual(clientOf(connected), "198.51.100.9:700")
    assert.deepStrictEqual(connected.live.known.destination, address("198.51.100.1", 443))
  })
)

describe("a listed proxy", () => {
  for (const peer of ["192.0.2.1", "192.0.2.255", "::ffff:192.0.2.3", "2001:db8::5"]) {
    it.effect(`may be ${peer}`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(LISTED)
        const connected = world.connect(concat(V2, HELLO), { peer: address(peer, 1) })
        assertDialling(world, connected)
        assert.strictEqual(clientOf(connected), "[2001:db8::7]:701")
      })
    )
  }

  for (const peer of ["192.0.3.1", "2001:db8::6"]) {
    it.effect(`is not ${peer}, of which nothing is read`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(LISTED)
        const connected = world.open({ peer: address(peer, 1) })
        connected.send(concat(V2, HELLO))
        assertOutcome(world, world.accept(connected), "untrusted_proxy")
        assert.strictEqual(connected.peeks, 0)
      })
    )
  }
})

it.effect("reads header and hello in any split, and leaves the hello alone", () =>
  forAll(
    fc.record({
      header: fc.constantFrom(V1, V2, LOCAL_V2, UNKNOWN_V1, UNIX_V2),
      cuts: fc.array(fc.nat(600), { maxLength: 12 })
    }),
    100,
    Effect.fnUntraced(function* ({ header, cuts }) {
      const world = yield* makeWorld(LISTED)
      const connected = world.connect(undefined, { peer: PROXY })
      for (const segment of segments(concat(header, HELLO), cuts)) connected.socket.send(segment)
      assertDialling(world, connected)
      const named = header === V1 ? "198.51.100.9:700" : header === V2 ? "[2001:db8::7]:701" : "192.0.2.1:40000"
      assert.strictEqual(clientOf(connected), named)
      assert.strictEqual(connected.live.known.probe, header === LOCAL_V2 || header === UNKNOWN_V1)
    })
  )
)

describe("no header", () => {
  const WITHOUT: ReadonlyArray<readonly [what: string, bytes: Uint8Array]> = [
    ["a hello", HELLO],
    ["a v1 line that names no address", Buffer.from("PROXY TCP4 nobody 198.51.100.1 700 443\r\n")],
    ["a v2 header of another version", v2(0x31, 0x11, new Uint8Array(12))]
  ]
  for (const [what, bytes] of WITHOUT) {
    it.effect(`is ${what}, and nothing goes on`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(ANYONE)
        const connected = world.connect(concat(bytes, HELLO))
        assertOutcome(world, connected, "proxy_header")
        assert.isUndefined(connected.live.known.client)
      })
    )
  }

  it.effect("is waited for in vain when the proxy finishes or resets", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(ANYONE)
      const finishing = world.connect(V2.subarray(0, -1))
      finishing.socket.finish()
      assertOutcome(world, finishing, "client_closed")
      const resetting = world.connect(V2.subarray(0, -1))
      resetting.socket.fail()
      assertOutcome(world, resetting, "reset")
    })
  )

  it.effect("is expected where the listener takes one alone", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      assertOutcome(world, world.connect(concat(V1, HELLO)), "not_tls")
    })
  )
})

it.effect("gives header and hello one deadline together", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld(ANYONE)
    const slow = world.connect(V1.subarray(0, -1))
    const slower = world.connect()
    const slowest = world.connect()
    yield* TestClock.adjust(6000)
    slow.socket.send(V1.subarray(-1))
    slower.socket.send(concat(V1, HELLO.subarray(0, 20)))
    yield* TestClock.adjust(3999)
    assertServing(world, slower)
    slow.socket.send(HELLO)
    yield* TestClock.adjust(1)
    assertOutcome(world, slower, "hello_timeout")
    assertOutcome(world, slowest, "hello_timeout")
    assertDialling(world, slow)
  })
)

describe("the rate limit", () => {
  const probe = (world: World, header: Uint8Array) => world.connect(concat(header, HELLO), { peer: PROXY })

  it.effect("is not spent by the probes of a listed proxy", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...LISTED, rateLimit: 1, socketsMax: 100 })
      for (const header of [LOCAL_V2, UNKNOWN_V1, LOCAL_V2]) assertServing(world, probe(world, header))
      // A client whose proxy does not know its address is none, and spends the proxy's.
      assertServing(world, probe(world, UNIX_V2))
      assertOutcome(world, probe(world, UNIX_V2), "rate_limited")
      assertServing(world, probe(world, LOCAL_V2))
    })
  )

  for (const [what, header] of [
    ["v2 LOCAL", LOCAL_V2],
    ["v1 UNKNOWN", UNKNOWN_V1]
  ] as const) {
    it.effect(`is spent by ${what} from a peer that is not listed`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ ...ANYONE, rateLimit: 1 })
        assertServing(world, probe(world, header))
        assertOutcome(world, probe(world, header), "rate_limited")
      })
    )
  }

  it.effect("is the client's, whichever proxy it comes through", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ ...LISTED, rateLimit: 1 })
      world.connect(V1, { peer: PROXY })
      const elsewhere = world.connect(V1, { peer: address("192.0.2.2", 1) })
      assertOutcome(world, elsewhere, "rate_limited")
      assertServing(world, world.connect(V2, { peer: PROXY }))
    })
  )
})

it.effect("holds the firewall against the header's client, and against a probe's peer", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ ...LISTED, rules: [{ type: "ip", value: "192.0.2.1" }] })
    assertServing(world, world.connect(V1, { peer: PROXY }))
    assertOutcome(world, world.connect(LOCAL_V2, { peer: PROXY }), "blocked_ip")
    world.setRules([{ type: "ip", value: "198.51.100.9" }])
    assertOutcome(world, world.connect(V1, { peer: PROXY }), "blocked_ip")
    assert.deepStrictEqual(closedOf(world), { blocked_ip: 2 })
  })
)

for (const [kind, options] of [
  ["a listener without PROXY protocol", { rules: [{ type: "cidr", value: "0.0.0.0/0" }] }],
  ["a listener that takes PROXY headers", ANYONE]
] as const) {
  it.effect(`ends a client of ${kind} that was gone before it had an address as reset, and judges nobody`, () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(options)
      const connected = world.connect(concat(V1, HELLO), { peer: undefined })
      assertOutcome(world, connected, "reset")
      assert.strictEqual(connected.socket.peeks, 0)
      assert.lengthOf(world.network.dials, 0)
      assert.strictEqual(world.entries[0]?.client, "")
      assert.strictEqual(world.entries[0]?.peer, "")
    })
  )
}
