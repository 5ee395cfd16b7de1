import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { ConnectionReset } from "../../src/net/Connection.ts"
import { formatSocketAddress, type SocketAddress } from "../../src/net/SocketAddress.ts"
import { address, readText, tlvsOf } from "../proxyproto/ProxyHeaders.ts"
import { concat } from "../tls/TlsBuilder.ts"
import {
  BACKEND,
  LOCAL,
  ROUTE,
  SETTINGS,
  assertNothingHeld,
  assertOutcome,
  assertServing,
  closedOf,
  hello,
  makeWorld,
  type World
} from "./World.ts"

const HELLO = hello("git.example.net")
const TELLING = { routes: [{ ...ROUTE, sendProxyProtocol: true }] }

const dialsOf = (world: World) => world.counters.backends.get(ROUTE.backend)!

describe("the dial", () => {
  it.effect("goes to the route's backend and has the connect timeout from when the route is known", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const connected = world.connect()
      yield* TestClock.adjust(9000)
      connected.socket.send(HELLO)
      const [dial] = world.network.dials
      assert.deepStrictEqual(dial?.address, BACKEND)
      assert.strictEqual(dial?.deadline, world.network.now() + 5000)
      yield* TestClock.adjust(4999)
      assertServing(world, connected)
      yield* TestClock.adjust(1)
      assertOutcome(world, connected, "dial_timeout")
    })
  )

  it.effect("is measured when it succeeds, and only then", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      world.connect(HELLO)
      yield* TestClock.adjust(5000)
      world.connect(HELLO)
      world.network.dials[1]!.answer(Effect.fail({ _tag: "dial_failed", reason: "refused" }))
      assert.strictEqual(dialsOf(world).count, 0)
      const relayed = world.connect(HELLO)
      yield* TestClock.adjust(120)
      world.answerDial()
      assert.strictEqual(relayed.live.dialMs, 120)
      assert.deepStrictEqual({ count: dialsOf(world).count, sumMs: dialsOf(world).sumMs }, { count: 1, sumMs: 120 })
    })
  )

  it.effect("is cancelled by a client that resets", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const room = world.room()
      const connected = world.connect(HELLO)
      assert.strictEqual(world.network.waiting, 1)
      connected.socket.fail()
      assertOutcome(world, connected, "reset")
      assertNothingHeld(world, room)
    })
  )

  it.effect("leads nowhere for a client that has reset behind its hello", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const room = world.room()
      const socket = world.open()
      socket.send(HELLO)
      socket.fail()
      assertOutcome(world, world.accept(socket), "reset")
      assertNothingHeld(world, room)
    })
  )

  it.effect("goes on when the client finishes or sends more", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const connected = world.connect(HELLO)
      connected.socket.send(Buffer.from("early data"))
      connected.socket.finish()
      world.answerDial()
      assertServing(world, connected)
      assert.deepStrictEqual(
        Buffer.from(world.network.relays[0]!.client.unread),
        Buffer.concat([HELLO, Buffer.from("early data")])
      )
    })
  )
})

describe("the relay", () => {
  it.effect("joins client and backend, the hello untouched, under the operator's timeouts", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const connected = world.connect(HELLO)
      const backend = world.answerDial()
      const [relay] = world.network.relays
      assert.strictEqual(relay?.client, connected.socket)
      assert.strictEqual(relay?.backend, backend)
      assert.deepStrictEqual(Buffer.from(connected.socket.unread), Buffer.from(HELLO))
      assert.deepStrictEqual(backend.written, [])
      assert.deepInclude(relay?.timeouts, {
        idleTimeoutMs: SETTINGS.idleTimeoutMs,
        halfCloseTimeoutMs: SETTINGS.halfCloseTimeoutMs
      })
    })
  )

  it.effect("has the word on a reset once it runs", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const connected = world.connect(HELLO)
      world.answerDial()
      connected.socket.fail()
      assertServing(world, connected)
      world.network.relays[0]!.end(Effect.succeed("half_close_timeout"))
      assertOutcome(world, connected, "half_close_timeout")
    })
  )
})

describe("send_proxy_protocol", () => {
  it.effect("tells the backend who the client is, once, before the hello", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ listener: TELLING })
      const { live } = world.connect(HELLO)
      const backend = world.answerDial()
      assert.lengthOf(backend.written, 1)
      const [header] = backend.written
      assert.strictEqual(readText(header!), `${header!.length} 203.0.113.7:5123 -> 198.51.100.1:443`)
      assert.deepStrictEqual(
        tlvsOf(header!, 28).map(([type, value]) => [type, Buffer.from(value).toString()]),
        [
          [2, "git.example.net"],
          [5, live.id]
        ]
      )
      assert.lengthOf(world.network.relays, 1)
    })
  )

  it.effect("passes on where the client connected to by an incoming header", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ listener: { ...TELLING, proxyProtocol: true } })
      const said = (line: string, ends: { readonly peer: SocketAddress; readonly local: SocketAddress }) => {
        world.connect(concat(Buffer.from(line), HELLO), ends)
        const [header] = world.answerDial().written
        return readText(header!).slice(`${header!.length} `.length)
      }
      const peer = address("192.0.2.1", 40_000)
      assert.strictEqual(
        said("PROXY TCP4 198.51.100.9 198.51.100.200 700 8443\r\n", { peer, local: LOCAL }),
        "198.51.100.9:700 -> 198.51.100.200:8443"
      )
      // A probe names none: then it is where the proxy itself was reached.
      assert.strictEqual(
        said("PROXY UNKNOWN\r\n", { peer, local: LOCAL }),
        `192.0.2.1:40000 -> ${formatSocketAddress(LOCAL)}`
      )
      assert.strictEqual(
        said("PROXY UNKNOWN\r\n", { peer, local: address("2001:db8::1", 443) }),
        "192.0.2.1:40000 -> [2001:db8::1]:443"
      )
    })
  )

  it.effect("sends bytes that are not the client's, and are not counted as such", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ listener: TELLING })
      const { live } = world.connect(HELLO)
      const backend = world.answerDial()
      assert.strictEqual(live.bytesFromClient, 0)
      backend.bytesWritten += HELLO.length
      assert.strictEqual(live.bytesFromClient, HELLO.length)
      world.network.relays[0]!.end(Effect.succeed("done"))
      assert.strictEqual(world.entries[0]?.fromClient, HELLO.length)
      assert.strictEqual(world.listenerCounters.bytesFromClient, HELLO.length)
    })
  )

  it.effect("ends as a reset when the backend does not take the header", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ listener: TELLING })
      const room = world.room()
      const connected = world.connect(HELLO)
      const backend = world.answerDial(Effect.fail(ConnectionReset))
      assertOutcome(world, connected, "reset")
      assert.strictEqual(backend.end, "reset")
      assert.strictEqual(world.entries[0]?.fromClient, 0)
      assertNothingHeld(world, room)
    })
  )

  it.effect("ends as a reset when the client resets while the header is sent", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ listener: TELLING })
      const connected = world.connect(HELLO)
      const backend = world.answerDial(Effect.never)
      assertServing(world, connected)
      connected.socket.fail()
      assertOutcome(world, connected, "reset")
      assert.strictEqual(backend.end, "reset")
      assert.deepStrictEqual(closedOf(world), { reset: 1 })
    })
  )
})
