/** How a relay ends without a reset: when both ways have finished, when nothing comes any more, when it is interrupted. */
import { assert } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as fc from "fast-check"
import { Network } from "../../../src/net/Network.ts"
import {
  DIRECTIONS,
  PATIENT,
  assertEnds,
  assertReceives,
  assertRelayEnds,
  elapse,
  forAll,
  pattern,
  peek,
  peers,
  receive,
  receiveAll,
  relayed,
  startRelay,
  writeUntilReset,
  type Case,
  type SuiteOptions
} from "./Fixture.ts"

export const relayEndCases = (test: Case, options: SuiteOptions): void => {
  for (const [who, sides] of DIRECTIONS) {
    test(
      `passes the ${who}'s FIN on and carries the other way until that ends too`,
      Effect.gen(function* () {
        const all = yield* relayed()
        const { first, firstEnd, second } = sides(all)
        yield* first.write(pattern(1000))
        yield* first.endWrite
        yield* assertReceives(second, pattern(1000), "PeerEnded")
        for (let i = 0; i < 3; i++) {
          yield* second.write(pattern(100_000, i))
          yield* receive(first, 100_000)
        }
        assert.isUndefined(all.relay.pollUnsafe())
        yield* second.endWrite
        yield* assertEnds(first, "PeerEnded")
        yield* assertRelayEnds(all.relay, "done")
        assert.strictEqual(firstEnd.bytesWritten, 300_000)
      })
    )

    test(
      `passes on a FIN of the ${who} that came before the relay`,
      Effect.gen(function* () {
        const all = yield* peers
        const { first, second, firstEnd } = sides(all)
        yield* first.write(pattern(10))
        yield* first.endWrite
        yield* Effect.flip(peek(firstEnd, 10))
        const relay = yield* startRelay(all)
        yield* assertReceives(second, pattern(10), "PeerEnded")
        yield* second.write(pattern(20, 2))
        yield* second.endWrite
        yield* assertReceives(first, pattern(20, 2), "PeerEnded")
        yield* assertRelayEnds(relay, "done")
      })
    )

    test(
      `ends when nothing follows the ${who}'s FIN for the half-close timeout`,
      Effect.gen(function* () {
        const all = yield* relayed({ halfCloseTimeoutMs: 40 })
        const { first, second } = sides(all)
        yield* first.endWrite
        yield* assertEnds(second, "PeerEnded")
        yield* options.advance(40)
        yield* assertRelayEnds(all.relay, "half_close_timeout")
        yield* assertEnds(first, "ConnectionReset")
        yield* writeUntilReset(second)
      })
    )
  }

  test(
    "ends with a RST for both when no byte comes for the idle timeout",
    Effect.gen(function* () {
      const { client, backend, relay } = yield* relayed({ idleTimeoutMs: 40 })
      yield* client.write(pattern(10))
      yield* receive(backend, 10)
      yield* options.advance(40)
      yield* assertRelayEnds(relay, "idle_timeout")
      yield* assertEnds(client, "ConnectionReset")
      yield* assertEnds(backend, "ConnectionReset")
    })
  )

  test(
    "goes on past both timeouts while bytes come, be it one way",
    Effect.gen(function* () {
      const network = yield* Network
      const { client, backend, relay } = yield* relayed({ idleTimeoutMs: LULL_MS, halfCloseTimeoutMs: LULL_MS })
      yield* client.endWrite
      yield* assertEnds(backend, "PeerEnded")
      const started = network.now()
      while (network.now() < started + 1.5 * LULL_MS) {
        yield* backend.write(pattern(1))
        yield* receive(client, 1)
        yield* options.advance(LULL_MS / 10)
      }
      assert.isUndefined(relay.pollUnsafe())
      yield* backend.endWrite
      yield* assertRelayEnds(relay, "done")
    })
  )

  test(
    "reads no more when it was interrupted",
    Effect.gen(function* () {
      const { client, front, back } = yield* peers
      const network = yield* Network
      const relay = yield* Effect.forkChild(network.relay(front, back, PATIENT), { startImmediately: true })
      yield* Fiber.interrupt(relay)
      const sending = yield* Effect.forkChild(client.write(pattern(32 * 1024 * 1024)))
      yield* elapse(options, 50)
      assert.isUndefined(sending.pollUnsafe())
      front.reset()
      yield* assertEnds(client, "ConnectionReset")
    })
  )

  test(
    "leaves both ends to their owner when it is interrupted, at whatever moment",
    forAll(fc.integer({ min: 0, max: 30 }), 20, (turns) =>
      Effect.gen(function* () {
        const { client, backend, relay } = yield* relayed()
        const traffic = [client, backend].map((connection) =>
          Effect.all([writeUntilReset(connection), receiveAll(connection)], { concurrency: "unbounded" })
        )
        const ends = yield* Effect.forkChild(Effect.all(traffic, { concurrency: "unbounded" }))
        yield* Effect.replicateEffect(options.turn, turns)
        yield* Fiber.interrupt(relay)
        for (const [, { end }] of yield* Fiber.join(ends)) assert.strictEqual(end, "ConnectionReset")
      })
    )
  )
}

/** A pause that a busy machine makes rarely. */
const LULL_MS = 400
