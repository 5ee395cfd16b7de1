/** Sending, and the ends that this side makes. */
import { assert } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import {
  assertEnds,
  assertReceives,
  assertSameBytes,
  connected,
  elapse,
  pattern,
  peek,
  receive,
  writeUntilReset,
  type Case,
  type SuiteOptions
} from "./Fixture.ts"

/** More than two kernels take for a peer that does not read, by far. */
const TOO_MUCH = 32 * 1024 * 1024
const KERNELS_MAX = 24 * 1024 * 1024

export const writeCases = (test: Case, options: SuiteOptions): void => {
  test(
    "waits for a peer that does not read, and goes on when it does",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const bytes = pattern(TOO_MUCH)
      const chunk = 256 * 1024
      let accepted = 0
      const sending = yield* Effect.forkChild(
        Effect.gen(function* () {
          for (; accepted < TOO_MUCH; accepted += chunk) yield* near.write(bytes.subarray(accepted, accepted + chunk))
        })
      )
      yield* elapse(options, 50)
      assert.isBelow(accepted, KERNELS_MAX)
      assert.isBelow(near.bytesWritten, KERNELS_MAX)
      assertSameBytes(yield* receive(far, TOO_MUCH), bytes)
      yield* Fiber.join(sending)
      assert.strictEqual(near.bytesWritten, TOO_MUCH)
    })
  )

  test(
    "counts what was accepted, also when both ways have finished",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      assert.strictEqual(near.bytesWritten, 0)
      for (const length of [1, 10_000, 0, 7]) yield* near.write(pattern(length))
      yield* far.write(pattern(5))
      assert.strictEqual(near.bytesWritten, 10_008)
      yield* near.endWrite
      yield* far.endWrite
      assert.strictEqual((yield* receive(far, 10_008)).length, 10_008)
      yield* assertEnds(far, "PeerEnded")
      yield* assertReceives(near, pattern(5), "PeerEnded")
      near.reset()
      far.reset()
      assert.deepStrictEqual([near.bytesWritten, far.bytesWritten], [10_008, 5])
    })
  )

  test(
    "does not count what nobody accepted",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      yield* near.write(pattern(100))
      yield* receive(far, 100)
      far.reset()
      yield* writeUntilReset(near)
      const accepted = near.bytesWritten
      assert.isBelow(accepted, KERNELS_MAX)
      assert.strictEqual((yield* Effect.flip(near.write(pattern(1000))))._tag, "ConnectionReset")
      near.reset()
      assert.strictEqual(near.bytesWritten, accepted)
    })
  )

  test(
    "ends its own way and goes on receiving, on either side",
    Effect.gen(function* () {
      for (const swapped of [false, true]) {
        const { near, far } = yield* connected
        const [first, second] = swapped ? [far, near] : [near, far]
        yield* first.write(pattern(10))
        yield* first.endWrite
        yield* assertReceives(second, pattern(10), "PeerEnded")
        yield* second.write(pattern(100_000, 2))
        yield* second.endWrite
        yield* assertReceives(first, pattern(100_000, 2), "PeerEnded")
      }
    })
  )

  test(
    "delivers what it wrote before its FIN to a slow reader",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const bytes = pattern(8 * 1024 * 1024)
      yield* Effect.forkChild(near.write(bytes), { startImmediately: true })
      yield* near.endWrite
      yield* peek(far)
      yield* assertReceives(far, bytes, "PeerEnded")
    })
  )

  test(
    "fails a write that waits when the peer resets",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const sending = yield* Effect.forkChild(Effect.flip(near.write(pattern(TOO_MUCH))), { startImmediately: true })
      yield* peek(far)
      far.reset()
      assert.strictEqual((yield* Fiber.join(sending))._tag, "ConnectionReset")
    })
  )

  test(
    "still shows what came before a reset that only a write has found out",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      yield* far.write(pattern(30_000))
      far.reset()
      yield* writeUntilReset(near)
      assertSameBytes(yield* receive(near, 30_000), pattern(30_000))
      yield* assertEnds(near, "ConnectionReset")
    })
  )

  test(
    "leaves no socket behind that is reset right after its FIN",
    Effect.gen(function* () {
      const pairs = yield* Effect.replicateEffect(connected, 8)
      for (const [i, { near, far }] of pairs.entries()) {
        if (i % 2 === 0) yield* near.write(pattern(10))
        yield* near.endWrite
        near.reset()
        near.reset()
        yield* assertReceives(far, pattern(i % 2 === 0 ? 10 : 0), "PeerEnded")
      }
    })
  )
}
