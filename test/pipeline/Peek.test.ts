import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { clientHello, concat, inRecords, serverName } from "../tls/TlsBuilder.ts"
import { assertOutcome, assertServing, forAll, hello, makeWorld, segments } from "./World.ts"

const HELLO = hello("git.example.net")

it.effect("reads the name off a hello in any split over segments and records, and consumes nothing", () =>
  forAll(
    fc.record({
      recordSizes: fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 5 }),
      cuts: fc.array(fc.nat(400), { maxLength: 20 }),
      behind: fc.uint8Array({ maxLength: 20 })
    }),
    100,
    Effect.fnUntraced(function* ({ recordSizes, cuts, behind }) {
      const world = yield* makeWorld()
      const connected = world.connect()
      const bytes = concat(inRecords(clientHello({ extensions: [serverName("git.example.net")] }), recordSizes), behind)
      for (const segment of segments(bytes, cuts)) connected.socket.send(segment)
      assertServing(world, connected)
      assert.strictEqual(connected.live.known.hostname, "git.example.net")
      assert.lengthOf(world.network.dials, 1)
      assert.deepStrictEqual(Buffer.from(connected.socket.unread), Buffer.from(bytes))
    })
  )
)

describe("max_hello_bytes", () => {
  it.effect("is enough for a hello of that size, a PROXY header before it not counted", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({
        listener: { proxyProtocol: true },
        settings: { helloBytesMax: HELLO.length }
      })
      const line = Buffer.from("PROXY TCP4 198.51.100.9 198.51.100.1 700 443\r\n")
      assertServing(world, world.connect(concat(line, HELLO)))
      assert.lengthOf(world.network.dials, 1)
    })
  )

  it.effect("refuses a hello one byte longer as soon as its length shows", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ settings: { helloBytesMax: HELLO.length - 1 } })
      assertServing(world, world.connect(HELLO.subarray(0, 4)))
      assertOutcome(world, world.connect(HELLO.subarray(0, 9)), "hello_too_large")
    })
  )
})

describe("a hello that is not whole", () => {
  it.effect("is waited for until the deadline and no longer, however it trickles in", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const trickling = world.connect()
      const silent = world.connect()
      for (let i = 0; i < 9; i++) {
        yield* TestClock.adjust("1 second")
        trickling.socket.send(HELLO.subarray(i, i + 1))
      }
      const young = world.connect(HELLO.subarray(0, 9))
      yield* TestClock.adjust(999)
      assertServing(world, trickling)
      assertServing(world, silent)
      yield* TestClock.adjust(1)
      assertOutcome(world, trickling, "hello_timeout")
      assertOutcome(world, silent, "hello_timeout")
      young.socket.send(HELLO.subarray(9))
      assertServing(world, young)
      assert.lengthOf(world.network.dials, 1)
    })
  )

  it.effect("ends with the client's FIN or RST", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      for (const size of [0, 1, HELLO.length - 1]) {
        const finishing = world.connect(HELLO.subarray(0, size))
        finishing.socket.finish()
        assertOutcome(world, finishing, "client_closed")
        const resetting = world.connect(HELLO.subarray(0, size))
        resetting.socket.fail()
        assertOutcome(world, resetting, "reset")
      }
    })
  )
})

it.effect("goes on with a client that has finished behind its hello", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const socket = world.open()
    socket.send(HELLO)
    socket.finish()
    assertServing(world, world.accept(socket))
    assert.lengthOf(world.network.dials, 1)
  })
)

it.effect("says what of the name is wrong by the outcome alone", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const WRONG = { no_sni: [hello(), hello("192.0.2.1"), hello("*.example.net")], no_route: [hello("example.net")] }
    for (const bytes of WRONG.no_sni) assertOutcome(world, world.connect(bytes), "no_sni")
    for (const bytes of WRONG.no_route) assertOutcome(world, world.connect(bytes), "no_route")
    assert.deepStrictEqual(
      world.entries.map(({ hostname }) => hostname),
      ["", "", "", "example.net"]
    )
  })
)

it.effect("finds the route of a name in capitals with a trailing dot", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    assertServing(world, world.connect(hello("GIT.Example.Net.")))
    assert.lengthOf(world.network.dials, 1)
  })
)
