/** Looking at what a peer sends without taking it. */
import { assert } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Network } from "../../../src/net/Network.ts"
import {
  assertEnds,
  assertSameBytes,
  connected,
  elapse,
  pattern,
  peek,
  receive,
  until,
  type Case,
  type SuiteOptions
} from "./Fixture.ts"

export const peekCases = (test: Case, options: SuiteOptions): void => {
  test(
    "shows all that has come, and again, until it is consumed",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      yield* far.write(pattern(5))
      assertSameBytes(yield* peek(near), pattern(5))
      assertSameBytes(yield* peek(near), pattern(5))
      near.consume(2)
      assertSameBytes(yield* peek(near), pattern(5).subarray(2))
      near.consume(3)
      yield* far.write(pattern(3, 2))
      assertSameBytes(yield* peek(near), pattern(3, 2))
    })
  )

  test(
    "waits for more than has been seen",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const bytes = pattern(40)
      for (let sent = 0; sent < bytes.length; sent += 8) {
        const more = yield* Effect.forkChild(peek(near, sent), { startImmediately: true })
        yield* far.write(bytes.subarray(sent, sent + 8))
        const shown = yield* Fiber.join(more)
        assertSameBytes(shown, bytes.subarray(0, sent + 8))
      }
    })
  )

  test(
    "reads on for a peek, however much that wants to see",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const bytes = pattern(1_000_000)
      yield* Effect.forkChild(far.write(bytes))
      assertSameBytes(yield* peek(near, bytes.length - 1), bytes)
    })
  )

  test(
    "is not told of a byte before the deadline",
    Effect.gen(function* () {
      const { near } = yield* connected
      const network = yield* Network
      const late = yield* Effect.forkChild(Effect.flip(near.peek(0, network.now() + 40)), { startImmediately: true })
      yield* options.advance(40)
      assert.strictEqual((yield* Fiber.join(late))._tag, "PeekTimeout")
    })
  )

  test(
    "has a deadline for each peek, whatever became of the one before",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const network = yield* Network
      const soon = network.now() + 30
      const waiting = yield* Effect.forkChild(near.peek(0, soon), { startImmediately: true })
      yield* far.write(pattern(1))
      yield* Fiber.join(waiting)
      yield* elapse(options, 60)
      const tooLate = yield* Effect.forkChild(Effect.flip(near.peek(1, soon)), { startImmediately: true })
      yield* options.advance(1)
      assert.strictEqual((yield* Fiber.join(tooLate))._tag, "PeekTimeout")
      const inTime = yield* Effect.forkChild(peek(near, 1), { startImmediately: true })
      yield* far.write(pattern(1))
      assert.strictEqual((yield* Fiber.join(inTime)).length, 2)
    })
  )

  test(
    "keeps to the deadline of the peek that waits, be it sooner or later than the one before",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const network = yield* Network
      yield* Fiber.interrupt(yield* Effect.forkChild(near.peek(0, network.now() + 30), { startImmediately: true }))
      const later = yield* Effect.forkChild(peek(near), { startImmediately: true })
      yield* elapse(options, 60)
      yield* far.write(pattern(1))
      assert.strictEqual((yield* Fiber.join(later)).length, 1)
      const sooner = yield* Effect.forkChild(Effect.flip(near.peek(1, network.now() + 30)), { startImmediately: true })
      yield* options.advance(30)
      assert.strictEqual((yield* Fiber.join(sooner))._tag, "PeekTimeout")
    })
  )

  test(
    "does not read without a bound ahead of who peeks",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const bytes = pattern(32 * 1024 * 1024)
      const sending = yield* Effect.forkChild(far.write(bytes))
      yield* peek(near)
      yield* elapse(options, 50)
      assert.isBelow(yield* Effect.map(peek(near), ({ length }) => length), 1024 * 1024)
      assert.isUndefined(sending.pollUnsafe())
      assertSameBytes(yield* receive(near, bytes.length), bytes)
    })
  )

  test(
    "shows the bytes that are there although the deadline has passed",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const network = yield* Network
      yield* far.write(pattern(3))
      yield* peek(near)
      assert.strictEqual((yield* near.peek(0, network.now() - 1)).length, 3)
    })
  )

  test(
    "tells a FIN from a RST, behind the bytes that came before",
    Effect.gen(function* () {
      const one = yield* connected
      yield* one.far.endWrite
      assert.strictEqual((yield* Effect.flip(peek(one.near)))._tag, "PeerEnded")
      const two = yield* connected
      two.far.reset()
      assert.strictEqual((yield* Effect.flip(peek(two.near)))._tag, "ConnectionReset")
      const three = yield* connected
      yield* three.far.write(pattern(9))
      yield* three.far.endWrite
      assert.strictEqual((yield* Effect.flip(peek(three.near, 9)))._tag, "PeerEnded")
      assertSameBytes(yield* receive(three.near, 9), pattern(9))
      const four = yield* connected
      yield* four.far.write(pattern(9))
      four.far.reset()
      assertSameBytes(yield* receive(four.near, 9), pattern(9))
      yield* assertEnds(four.near, "ConnectionReset")
    })
  )

  test(
    "can be interrupted, and another peek works after it",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      for (let i = 0; i < 3; i++) {
        yield* Fiber.interrupt(yield* Effect.forkChild(peek(near), { startImmediately: true }))
      }
      yield* far.write(pattern(7))
      assertSameBytes(yield* peek(near), pattern(7))
    })
  )

  test(
    "ends when the connection is reset from this side",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const waiting = yield* Effect.forkChild(Effect.flip(peek(near)), { startImmediately: true })
      near.reset()
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "ConnectionReset")
      assert.strictEqual((yield* Effect.flip(peek(near)))._tag, "ConnectionReset")
      yield* assertEnds(far, "ConnectionReset")
    })
  )

  test(
    "tells once of the peer's reset, also while nobody peeks",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      let resets = 0
      yield* far.write(pattern(3))
      yield* peek(near)
      near.onReset(() => resets++)
      far.reset()
      yield* until(options, () => resets > 0)
      near.consume(3)
      yield* assertEnds(near, "ConnectionReset")
      near.reset()
      yield* options.turn
      assert.strictEqual(resets, 1)
    })
  )

  test(
    "tells of a reset that came before somebody asked",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      let resets = 0
      far.reset()
      yield* Effect.flip(peek(near))
      near.onReset(() => resets++)
      yield* until(options, () => resets > 0)
      near.onReset(() => resets++)
      yield* options.turn
      assert.strictEqual(resets, 2)
    })
  )

  test(
    "tells nobody of a reset from this side, nor whom has been taken back",
    Effect.gen(function* () {
      const one = yield* connected
      one.near.onReset(() => assert.fail("told of its own reset"))
      one.near.reset()
      const two = yield* connected
      two.near.onReset(() => assert.fail("told although taken back"))
      two.near.onReset(undefined)
      two.far.reset()
      yield* Effect.flip(peek(two.near))
      yield* assertEnds(one.far, "ConnectionReset")
    })
  )
}
