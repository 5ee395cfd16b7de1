/** What a relay does when a side resets: the other gets what came before, is told, and is not waited for too long. */
import { assert } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import {
  DIRECTIONS,
  assertEnds,
  assertReceives,
  assertRelayEnds,
  elapse,
  pattern,
  peek,
  peers,
  receiveAll,
  assertSameBytes,
  relayed,
  startRelay,
  until,
  writeUntilReset,
  type Case,
  type SuiteOptions
} from "./Fixture.ts"

export const relayResetCases = (test: Case, options: SuiteOptions): void => {
  for (const [who, sides] of DIRECTIONS) {
    test(
      `passes on what the ${who} sent right before it reset`,
      Effect.gen(function* () {
        for (const length of [1, 16_000]) {
          const all = yield* relayed()
          const { first, second } = sides(all)
          yield* first.write(pattern(length))
          first.reset()
          yield* assertReceives(second, pattern(length), options.endAfterReset)
          yield* second.endWrite
          yield* assertRelayEnds(all.relay, "reset")
        }
      })
    )

    test(
      `leaves what the other side has not read yet in peace when the ${who} resets`,
      Effect.gen(function* () {
        const all = yield* relayed()
        const { first, second, secondEnd } = sides(all)
        yield* first.write(pattern(UNREAD_BYTES))
        yield* until(options, () => secondEnd.bytesWritten === UNREAD_BYTES)
        first.reset()
        yield* options.turn
        yield* assertReceives(second, pattern(UNREAD_BYTES), options.endAfterReset)
        yield* second.endWrite
        yield* assertRelayEnds(all.relay, "reset")
        assert.strictEqual(secondEnd.bytesWritten, UNREAD_BYTES)
      })
    )

    test(
      `resets the other side at once when the ${who} resets without having sent anything`,
      Effect.gen(function* () {
        const all = yield* relayed()
        const { first, second } = sides(all)
        yield* second.write(pattern(1000))
        yield* peek(first, 999)
        first.reset()
        yield* assertRelayEnds(all.relay, "reset")
        yield* assertEnds(second, "ConnectionReset")
      })
    )

    test(
      `passes on what came before a reset of the ${who} that came before the relay`,
      Effect.gen(function* () {
        const all = yield* peers
        const { first, second, firstEnd } = sides(all)
        yield* first.write(pattern(500))
        yield* peek(firstEnd, 499)
        // The relay starts from within the failure that the peek reports.
        const relaying = yield* Effect.forkChild(Effect.andThen(Effect.flip(peek(firstEnd, 500)), startRelay(all)), {
          startImmediately: true
        })
        first.reset()
        const relay = yield* Fiber.join(relaying)
        yield* assertReceives(second, pattern(500), options.endAfterReset)
        // Where the other side's end is a FIN it has time to make its own.
        if (options.endAfterReset === "PeerEnded") assert.isUndefined(relay.pollUnsafe())
        yield* second.endWrite
        yield* assertRelayEnds(relay, "reset")
      })
    )

    test(
      `resets the other side at once when the ${who} had reset before the relay without a byte`,
      Effect.gen(function* () {
        const all = yield* peers
        const { first, second, firstEnd } = sides(all)
        let resets = 0
        firstEnd.onReset(() => resets++)
        first.reset()
        yield* until(options, () => resets === 1)
        yield* assertRelayEnds(yield* startRelay(all), "reset")
        yield* assertEnds(second, "ConnectionReset")
      })
    )

    test(
      `does not let a side send for ever to a ${who} that has reset`,
      Effect.gen(function* () {
        const all = yield* relayed({ halfCloseTimeoutMs: 60 })
        const { first, second } = sides(all)
        yield* first.write(pattern(10))
        yield* peek(second, 9)
        const sending = yield* Effect.forkChild(writeUntilReset(second), { startImmediately: true })
        first.reset()
        const received = yield* receiveAll(second)
        assertSameBytes(received.bytes, pattern(10))
        yield* options.advance(60)
        yield* assertRelayEnds(all.relay, "reset")
        yield* Fiber.join(sending)
      })
    )

    test(
      `carries what it had read of the ${who} before that reset to a reader that comes late`,
      Effect.gen(function* () {
        const all = yield* relayed()
        const { first, second } = sides(all)
        const bytes = pattern(32 * 1024 * 1024)
        const sending = yield* Effect.forkChild(Effect.flip(first.write(bytes)), { startImmediately: true })
        yield* elapse(options, 30)
        first.reset()
        yield* Fiber.join(sending)
        const received = yield* receiveAll(second)
        assert.isAbove(received.bytes.length, UNREAD_BYTES)
        assertSameBytes(received.bytes, bytes.subarray(0, received.bytes.length))
        assert.strictEqual(received.end, options.endAfterReset)
        yield* second.endWrite
        yield* assertRelayEnds(all.relay, "reset")
      })
    )
  }

  test(
    "delivers the answer of a backend that resets over what it left unread",
    Effect.gen(function* () {
      const answer = pattern(40_000, 3)
      for (let i = 0; i < 25; i++) {
        const { client, backend, relay } = yield* relayed()
        const asking = yield* Effect.forkChild(writeUntilReset(client), { startImmediately: true })
        yield* peek(backend)
        yield* Effect.replicateEffect(options.turn, i % 7)
        yield* backend.write(answer)
        backend.reset()
        const received = yield* receiveAll(client)
        assertSameBytes(received.bytes, answer)
        assert.strictEqual(received.end, options.endAfterReset)
        yield* Fiber.interrupt(asking)
        yield* client.endWrite
        yield* assertRelayEnds(relay, "reset")
      }
    })
  )

  test(
    "ends when both sides reset at once",
    Effect.gen(function* () {
      for (const length of [0, 1000]) {
        const { client, backend, relay } = yield* relayed()
        yield* client.write(pattern(length))
        yield* backend.write(pattern(length))
        if (length > 0) yield* Effect.all([peek(client), peek(backend)])
        client.reset()
        backend.reset()
        yield* assertRelayEnds(relay, "reset")
      }
    })
  )
}

/** What one kernel takes for a reader that is not there, on any system. */
const UNREAD_BYTES = 100_000
