/** Connections as streams, plain and with TLS: the same promises for both, and those of the handshake. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Scope } from "effect"
import type { Duplex } from "node:stream"
import type { Connection } from "../../../src/net/Connection.ts"
import { Network, type Alpn, type TlsStream } from "../../../src/net/Network.ts"
import {
  assertSameBytes,
  connected,
  elapse,
  pattern,
  peek,
  receiveAll,
  type Case,
  type SuiteOptions
} from "./Fixture.ts"
import { closed, contexts, NAME, read, readAll, write } from "./Streams.ts"

const BOTH: ReadonlyArray<Alpn> = ["h2", "http/1.1"]
const PATIENCE_MS = 20_000

interface Pair {
  readonly near: Connection
  readonly far: Connection
  readonly nearStream: Duplex
  readonly farStream: Duplex
}

const terminate = Effect.fnUntraced(function* (
  far: Connection,
  alpn: ReadonlyArray<Alpn> = BOTH,
  timeoutMs: number = PATIENCE_MS
) {
  const network = yield* Network
  const { server } = yield* contexts
  return yield* network.terminate(far, { context: server, alpn, deadline: network.now() + timeoutMs })
})

const secure = Effect.fnUntraced(function* (
  near: Connection,
  alpn: ReadonlyArray<Alpn> = BOTH,
  timeoutMs: number = PATIENCE_MS
) {
  const network = yield* Network
  const { client } = yield* contexts
  const deadline = network.now() + timeoutMs
  return yield* network.secure(near, { context: client, serverName: NAME, alpn, deadline })
})

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkScoped(effect, { startImmediately: true })

/** Shakes hands on a new connection, whose ClientHello the server has peeked at before. */
const secured = Effect.fnUntraced(function* (alpn: ReadonlyArray<Alpn> = BOTH) {
  const { near, far } = yield* connected
  const securing = yield* start(secure(near, alpn))
  yield* peek(far)
  const terminated = yield* terminate(far)
  return { near, far, client: yield* Fiber.join(securing), server: terminated }
})

const securedPair = Effect.map(secured(), ({ near, far, client, server }): Pair => ({
  near,
  far,
  nearStream: client.duplex,
  farStream: server.duplex
}))

/** Plain streams, of which the far one has bytes before it that were peeked, and some that were consumed. */
const plainPair = Effect.gen(function* () {
  const network = yield* Network
  const { near, far } = yield* connected
  yield* near.write(Buffer.from("header"))
  yield* peek(far, 5)
  far.consume(6)
  const [nearStream, farStream] = [network.asDuplex(near), network.asDuplex(far)]
  return { near, far, nearStream, farStream } satisfies Pair
})

/** More than streams and kernels take for one that does not read. */
const TOO_MUCH = 32 * 1024 * 1024
const BUFFERS_MAX = 24 * 1024 * 1024

export const streamCases = (test: Case, options: SuiteOptions): void => {
  for (const [kind, pair] of [
    ["plain", plainPair],
    ["secured", securedPair]
  ] as const) {
    test(
      `${kind}: carries bytes both ways, each side finishing when it likes`,
      Effect.gen(function* () {
        for (const swapped of [false, true]) {
          const { nearStream, farStream } = yield* pair
          const [first, second] = swapped ? [farStream, nearStream] : [nearStream, farStream]
          first.end(pattern(100_000, 1))
          const early = yield* readAll(second)
          assertSameBytes(early.bytes, pattern(100_000, 1))
          assert.strictEqual(early.end, "end")
          second.end(pattern(200_000, 2))
          const late = yield* readAll(first)
          assertSameBytes(late.bytes, pattern(200_000, 2))
          assert.strictEqual(late.end, "end")
          yield* closed(first)
          yield* closed(second)
        }
      })
    )

    test(
      `${kind}: waits for a reader that is slow`,
      Effect.gen(function* () {
        const { nearStream, farStream } = yield* pair
        const bytes = pattern(TOO_MUCH)
        const chunk = 256 * 1024
        let accepted = 0
        const sending = yield* start(
          Effect.gen(function* () {
            for (; accepted < TOO_MUCH; accepted += chunk) {
              yield* write(nearStream, bytes.subarray(accepted, accepted + chunk))
            }
          })
        )
        yield* elapse(options, 50)
        assert.isBelow(accepted, BUFFERS_MAX)
        assertSameBytes(yield* read(farStream, TOO_MUCH), bytes)
        yield* Fiber.join(sending)
      })
    )

    test(
      `${kind}: is destroyed when its connection is reset, and so is the other side`,
      Effect.gen(function* () {
        const { far, nearStream, farStream } = yield* pair
        far.reset()
        yield* closed(farStream)
        nearStream.resume()
        yield* closed(nearStream)
      })
    )

    test(
      `${kind}: counts what has come and gone, to the end`,
      Effect.gen(function* () {
        const { near, far, nearStream, farStream } = yield* pair
        nearStream.end(pattern(5000))
        farStream.end(pattern(7000))
        yield* readAll(farStream)
        yield* readAll(nearStream)
        yield* closed(nearStream)
        yield* closed(farStream)
        assert.isAtLeast(near.bytesWritten, 5000)
        assert.isAtLeast(far.bytesWritten, 7000)
        assert.deepStrictEqual([near.bytesWritten, near.bytesRead], [far.bytesRead, far.bytesWritten])
      })
    )
  }

  test(
    "plain: begins with what was peeked and not consumed",
    Effect.gen(function* () {
      const network = yield* Network
      const { near, far } = yield* connected
      yield* near.write(pattern(10_000).subarray(0, 4000))
      yield* peek(far, 3_999)
      far.consume(1000)
      const stream = network.asDuplex(far)
      yield* near.write(pattern(10_000).subarray(4000))
      yield* near.endWrite
      const { bytes, end } = yield* readAll(stream)
      assertSameBytes(bytes, pattern(10_000).subarray(1000))
      assert.strictEqual(end, "end")
    })
  )

  test(
    "agrees on what both speak, by the server's preference, or on nothing",
    Effect.gen(function* () {
      for (const [offered, agreed] of [
        [["http/1.1", "h2"], "h2"],
        [["http/1.1"], "http/1.1"],
        [[], undefined]
      ] as const) {
        const { client, server } = yield* secured(offered)
        assert.deepStrictEqual([client.alpn, server.alpn], [agreed, agreed])
      }
    })
  )

  test(
    "fails on both sides when they speak nothing in common",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const securing = yield* start(Effect.flip(secure(near, ["h2"])))
      assert.strictEqual((yield* Effect.flip(terminate(far, ["http/1.1"])))._tag, "handshake_failed")
      assert.strictEqual((yield* Fiber.join(securing))._tag, "handshake_failed")
    })
  )

  test(
    "answers what is no handshake with an alert and a FIN",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      yield* near.write(Buffer.from([22, 3, 1, 0, 5, 2, 0, 0, 1, 0]))
      assert.strictEqual((yield* Effect.flip(terminate(far)))._tag, "handshake_failed")
      const { bytes, end } = yield* receiveAll(near)
      assert.deepStrictEqual([bytes[0], end], [21, "PeerEnded"])
    })
  )

  for (const [side, handshake] of [
    ["client", (near: Connection, _far: Connection, timeoutMs: number) => secure(near, BOTH, timeoutMs)],
    ["server", (_near: Connection, far: Connection, timeoutMs: number) => terminate(far, BOTH, timeoutMs)]
  ] as const) {
    test(
      `${side}: gives up at the deadline`,
      Effect.gen(function* () {
        const { near, far } = yield* connected
        const waiting = yield* start(Effect.flip(handshake(near, far, 50)))
        yield* options.advance(50)
        assert.strictEqual((yield* Fiber.join(waiting))._tag, "handshake_timeout")
      })
    )

    test(
      `${side}: fails when the other side resets, or finishes`,
      Effect.gen(function* () {
        for (const [end, tag] of [
          ["reset", "reset"],
          ["finish", "handshake_failed"]
        ] as const) {
          const { near, far } = yield* connected
          const other = side === "client" ? far : near
          const waiting = yield* start(Effect.flip(handshake(near, far, PATIENCE_MS)))
          if (end === "reset") other.reset()
          else yield* other.endWrite
          assert.strictEqual((yield* Fiber.join(waiting))._tag, tag)
        }
      })
    )

    test(
      `${side}: leaves nothing behind when it is interrupted`,
      Effect.gen(function* () {
        const { near, far } = yield* connected
        const waiting = yield* start(handshake(near, far, PATIENCE_MS))
        yield* options.turn
        yield* Fiber.interrupt(waiting)
        const { end } = yield* receiveAll(side === "client" ? far : near)
        assert.strictEqual(end, "ConnectionReset")
      })
    )
  }

  test(
    "resets with its scope what is not finished",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      const securing = yield* start(secure(near))
      const scope = yield* Scope.make()
      const server: TlsStream = yield* Scope.provide(terminate(far), scope)
      const client = yield* Fiber.join(securing)
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      yield* closed(server.duplex)
      client.duplex.resume()
      yield* closed(client.duplex)
    })
  )
}
