/** A relay carries every byte once, in order, both ways, and no faster than it is read. */
import { assert } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as fc from "fast-check"
import type { Connection } from "../../../src/net/Connection.ts"
import {
  DIRECTIONS,
  assertReceives,
  assertRelayEnds,
  assertSameBytes,
  elapse,
  forAll,
  pattern,
  peek,
  peers,
  receive,
  relayed,
  startRelay,
  type Case,
  type SuiteOptions
} from "./Fixture.ts"

export const relayCases = (test: Case, options: SuiteOptions): void => {
  test(
    "carries any chunks both ways at once, byte for byte, and counts them",
    forAll(fc.record({ request: chunkLengths, answer: chunkLengths }), 12, ({ request, answer }) =>
      Effect.gen(function* () {
        const { client, front, back, backend, relay } = yield* relayed()
        const [asked, answered] = [pattern(sum(request)), pattern(sum(answer), 2)]
        yield* Effect.all(
          [
            sendChunks(client, asked, request),
            sendChunks(backend, answered, answer),
            assertReceives(backend, asked, "PeerEnded"),
            assertReceives(client, answered, "PeerEnded")
          ],
          { concurrency: "unbounded" }
        )
        yield* assertRelayEnds(relay, "done")
        assert.deepStrictEqual(
          [front, back].map((connection) => connection.bytesWritten),
          [answered.length, asked.length]
        )
      })
    )
  )

  test(
    "forwards what was peeked once, from the first byte that nobody consumed",
    Effect.gen(function* () {
      const between = yield* peers
      const { client, front, back, backend } = between
      yield* client.write(pattern(300))
      yield* peek(front, 299)
      front.consume(100)
      yield* backend.write(pattern(50, 2))
      yield* peek(back, 49)
      back.consume(20)
      const relay = yield* startRelay(between)
      yield* client.write(pattern(300).subarray(0, 7))
      yield* client.endWrite
      yield* backend.endWrite
      yield* assertReceives(
        backend,
        Buffer.concat([pattern(300).subarray(100), pattern(300).subarray(0, 7)]),
        "PeerEnded"
      )
      yield* assertReceives(client, pattern(50, 2).subarray(20), "PeerEnded")
      yield* assertRelayEnds(relay, "done")
      assert.strictEqual(back.bytesWritten, 207)
    })
  )

  test(
    "starts behind what was written to the backend before",
    Effect.gen(function* () {
      const between = yield* peers
      yield* between.client.write(pattern(20))
      yield* peek(between.front)
      yield* between.back.write(pattern(12, 3))
      yield* startRelay(between)
      assertSameBytes(yield* receive(between.backend, 32), Buffer.concat([pattern(12, 3), pattern(20)]))
      assert.strictEqual(between.back.bytesWritten, 32)
    })
  )

  for (const [who, sides] of DIRECTIONS) {
    test(
      `keeps what waits in it for a slow reader apart from whatever the ${who} sends after that`,
      forAll(fc.array(fc.integer({ min: 1, max: 2 * PIECE }), { minLength: 3, maxLength: 8 }), 3, (later) =>
        Effect.gen(function* () {
          const { first, second, secondEnd } = sides(yield* relayed())
          const bytes = pattern(TOO_MUCH)
          const sendPiece = Effect.fnUntraced(function* (length: number) {
            yield* first.write(bytes.subarray(first.bytesWritten, first.bytesWritten + length))
            for (let i = 0; i < TURNS_MAX && secondEnd.bytesWritten < first.bytesWritten; i++) yield* options.turn
          })
          while (secondEnd.bytesWritten === first.bytesWritten) yield* sendPiece(PIECE)
          for (const length of later) yield* sendPiece(length)
          assertSameBytes(yield* receive(second, first.bytesWritten), bytes.subarray(0, first.bytesWritten))
        })
      )
    )
  }

  test(
    "slows a sender to its reader, either way, in bounded memory",
    Effect.gen(function* () {
      const { client, backend } = yield* relayed()
      const bytes = pattern(TOO_MUCH)
      for (const [sender, reader] of [
        [client, backend],
        [backend, client]
      ] as const) {
        const sending = yield* Effect.forkChild(sendChunks(sender, bytes, CHUNKS))
        yield* elapse(options, 50)
        assert.isBelow(sender.bytesWritten, KERNELS_MAX)
        assertSameBytes(yield* receive(reader, TOO_MUCH), bytes)
        yield* Fiber.join(sending)
      }
    })
  )
}

/** From single bytes to more than a kernel takes at once. */
const chunkLengths = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 1000, max: 70_000 }),
    fc.integer({ max: 700_000, min: 1 })
  ),
  { maxLength: 10 }
)

/** More than four kernels take for a peer that does not read, by far. */
const TOO_MUCH = 40 * 1024 * 1024
const KERNELS_MAX = 30 * 1024 * 1024
const CHUNKS = Array.from({ length: 256 }, () => TOO_MUCH / 256)

/** A piece that a relay reads by itself when it is given the time, and the turns which that takes at most. */
const PIECE = 8 * 1024
const TURNS_MAX = 20

const sum = (lengths: ReadonlyArray<number>): number => lengths.reduce((total, length) => total + length, 0)

/** Writes `bytes` in chunks of these lengths, which together are all of them, and ends where that is less than a lot. */
const sendChunks = Effect.fnUntraced(function* (connection: Connection, bytes: Buffer, lengths: ReadonlyArray<number>) {
  let at = 0
  for (const length of lengths) {
    yield* connection.write(bytes.subarray(at, at + length))
    at += length
  }
  if (lengths !== CHUNKS) yield* connection.endWrite
})
