import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { Side, TraceEvent } from "../../../src/net/sim/Trace.ts"
import { SimNetwork } from "../../../src/net/sim/SimNetwork.ts"
import { assertSameBytes, pattern, peek, peers, receive, relayed, startRelay } from "../suite/Fixture.ts"
import { play, relayScripts, type PeerScript, type Played } from "./RelayScript.ts"

const anyEnd: fc.Arbitrary<PeerScript["end"]> = fc.constantFrom("finish", "reset", "nothing")

/** The client's connection is the first that was dialled, the backend's the second. */
const sumAt = (trace: ReadonlyArray<TraceEvent>, kind: TraceEvent["kind"], connection: number, side: Side): number =>
  trace.reduce(
    (sum, event) =>
      event.kind === kind && event.connection === connection && event.side === side ? sum + event.bytes : sum,
    0
  )

/** What had come from the peers to the proxy's two sockets. */
const arrivedFromClient = ({ trace }: Played) => sumAt(trace, "arrive", 1, "listener")
const arrivedFromBackend = ({ trace }: Played) => sumAt(trace, "arrive", 2, "dialler")

it("gives all bytes to both sides when both finish, whatever the segments, latency, buffers and stalls", () =>
  fc.assert(
    fc.asyncProperty(relayScripts(fc.constant("finish")), async (script) => {
      const { relayEnd, client, backend } = await play(script)
      assertSameBytes(backend.received.bytes, client.bytes)
      assertSameBytes(client.received.bytes, backend.bytes)
      assert.deepStrictEqual([relayEnd, client.received.end, backend.received.end], ["done", "FIN", "FIN"])
    }),
    { numRuns: 100 }
  ))

it("gives each side the beginning of what the other wrote, however they end", () =>
  fc.assert(
    fc.asyncProperty(relayScripts(anyEnd), async (script) => {
      const { client, backend } = await play(script)
      for (const [sender, { received }] of [
        [client, backend],
        [backend, client]
      ] as const) {
        assertSameBytes(received.bytes, sender.bytes.subarray(0, received.bytes.length))
        assert.isAtMost(received.bytes.length, sender.accepted)
      }
    }),
    { numRuns: 100 }
  ))

it("gives the survivor of a reset all that had come before it, and then a RST", () =>
  fc.assert(
    fc.asyncProperty(relayScripts(fc.constant("nothing")), fc.boolean(), async (drawn, byClient) => {
      const reset = { end: "reset" } as const
      const script = byClient
        ? { ...drawn, client: { ...drawn.client, ...reset } }
        : { ...drawn, backend: { ...drawn.backend, ...reset } }
      const played = await play(script)
      const survivor = byClient ? played.backend : played.client
      const sender = byClient ? played.client : played.backend
      const arrived = byClient ? arrivedFromClient(played) : arrivedFromBackend(played)
      assertSameBytes(survivor.received.bytes, sender.bytes.subarray(0, arrived))
      assert.strictEqual(survivor.received.end, "RST")
      assert.strictEqual(played.relayEnd, "reset")
    }),
    { numRuns: 100 }
  ))

it("ends by its timeouts when a side never ends", () =>
  fc.assert(
    fc.asyncProperty(relayScripts(fc.constant("nothing")), fc.boolean(), async (drawn, halfClosed) => {
      const script = halfClosed ? { ...drawn, client: { ...drawn.client, end: "finish" as const } } : drawn
      const { relayEnd, client, backend } = await play(script)
      assert.strictEqual(relayEnd, halfClosed ? "half_close_timeout" : "idle_timeout")
      assertSameBytes(backend.received.bytes, client.bytes)
      assertSameBytes(client.received.bytes, backend.bytes)
      assert.deepStrictEqual([client.received.end, backend.received.end], ["RST", halfClosed ? "FIN" : "RST"])
    }),
    { numRuns: 60 }
  ))

it("does the same again with the same seed, event by event", () =>
  fc.assert(
    fc.asyncProperty(relayScripts(anyEnd), async (script) => {
      const [one, other] = [await play(script), await play(script)]
      assert.deepStrictEqual(other.trace, one.trace)
    }),
    { numRuns: 50 }
  ))

it("keeps every buffer within its bound", () =>
  fc.assert(
    fc.asyncProperty(relayScripts(anyEnd), async (script) => {
      const { overBound, trace } = await play(script)
      assert.isAbove(trace.length, 0)
      assert.isAtMost(overBound, 0)
      assert.isAbove(overBound, -Infinity)
    }),
    { numRuns: 50 }
  ))

it("leaves nothing behind, also when it is interrupted at any event", () =>
  fc.assert(
    fc.asyncProperty(relayScripts(anyEnd), fc.nat(), async (script, pick) => {
      const whole = await play(script)
      assert.deepStrictEqual(whole.left, { sockets: 0, events: 0 })
      const first = whole.trace.findIndex(({ kind, connection }) => kind === "accept" && connection === 2)
      const { left } = await play(script, first + 1 + (pick % (whole.trace.length - first)))
      assert.deepStrictEqual(left, { sockets: 0, events: 0 })
    }),
    { numRuns: 60 }
  ))

it.effect("has no event to come when it is over, nor when it was interrupted", () =>
  Effect.gen(function* () {
    const sim = yield* SimNetwork
    for (const interrupted of [false, true]) {
      const { client, backend, relay } = yield* relayed()
      yield* client.write(pattern(10))
      yield* receive(backend, 10)
      yield* TestClock.adjust(10)
      assert.strictEqual(sim.pendingEvents(), 1)
      if (interrupted) yield* Fiber.interrupt(relay)
      else yield* Effect.andThen(client.endWrite, backend.endWrite)
      yield* Fiber.await(relay)
      yield* Effect.replicateEffect(Effect.yieldNow, 5)
      assert.strictEqual(sim.pendingEvents(), 0)
    }
  }).pipe(Effect.provide(SimNetwork.layer({ seed: 1 })))
)

it.effect("passes on what was peeked, also where that is more than the other side takes at once", () =>
  Effect.gen(function* () {
    const between = yield* peers
    yield* Effect.forkScoped(between.client.write(pattern(300)), { startImmediately: true })
    yield* peek(between.front, 299)
    yield* startRelay(between)
    assertSameBytes(yield* receive(between.backend, 300), pattern(300))
  }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, link: { sendBytesMax: 100, receiveBytesMax: 100 } })))
)
