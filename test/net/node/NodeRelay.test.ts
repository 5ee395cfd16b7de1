import { assert, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { Network } from "../../../src/net/Network.ts"
import { NodeConnection } from "../../../src/net/node/NodeConnection.ts"
import { layer } from "../../../src/net/node/NodeNetwork.ts"
import {
  LOOPBACK,
  assertRelayEnds,
  assertSameBytes,
  listening,
  pattern,
  peek,
  peers,
  receive,
  receiveAll,
  relayed,
  startRelay,
  until
} from "../suite/Fixture.ts"
import { OPTIONS } from "./Options.ts"
import { rawPeer } from "./RawPeer.ts"

/** Two raw peers, and a relay between the connections that accepted them. */
const rawPeers = Effect.fnUntraced(function* (idleTimeoutMs: number) {
  const { address, accepted } = yield* listening(LOOPBACK)
  const client = yield* rawPeer(address)
  const front = yield* Queue.take(accepted)
  const backend = yield* rawPeer(address)
  const back = yield* Queue.take(accepted)
  const network = yield* Network
  const relay = yield* Effect.forkChild(network.relay(front, back, { idleTimeoutMs, halfCloseTimeoutMs: 60_000 }), {
    startImmediately: true
  })
  return { client, backend, relay }
})

it.live("sends both peers a FIN and never a RST when a relay is done", () =>
  Effect.gen(function* () {
    const { client, backend, relay } = yield* rawPeers(60_000)
    client.socket.end(pattern(100_000))
    backend.socket.end(pattern(100_000))
    yield* assertRelayEnds(relay, "done")
    assert.deepStrictEqual(yield* client.closed, ["end", "close"])
    assert.deepStrictEqual(yield* backend.closed, ["end", "close"])
    assert.deepStrictEqual([client.socket.bytesRead, backend.socket.bytesRead], [100_000, 100_000])
  }).pipe(Effect.provide(layer))
)

it.live("sends both peers a RST and no FIN when a relay was idle", () =>
  Effect.gen(function* () {
    const { client, backend, relay } = yield* rawPeers(40)
    client.socket.write(pattern(10))
    yield* assertRelayEnds(relay, "idle_timeout")
    assert.deepStrictEqual(yield* client.closed, ["ECONNRESET", "close"])
    assert.deepStrictEqual(yield* backend.closed, ["ECONNRESET", "close"])
  }).pipe(Effect.provide(layer))
)

it.live("delivers what Node had received for a slow reader when its sender resets", () =>
  Effect.gen(function* () {
    const { client, front, back, backend } = yield* relayed()
    assert.instanceOf(front, NodeConnection)
    assert.instanceOf(back, NodeConnection)
    const bytes = pattern(32 * 1024 * 1024)
    const send = (length: number) =>
      Effect.andThen(
        client.write(bytes.subarray(client.bytesWritten, client.bytesWritten + length)),
        until(OPTIONS, () => front.socket.bytesRead === client.bytesWritten)
      )
    // What comes now waits in Node, which reads on for a while, and so sees the reset.
    while (!back.socket.writableNeedDrain) yield* send(8 * 1024)
    yield* send(16 * 1024)
    client.reset()
    yield* until(OPTIONS, () => front.failed)
    const received = yield* receiveAll(backend)
    assertSameBytes(received.bytes, bytes.subarray(0, client.bytesWritten))
  }).pipe(Effect.provide(layer))
)

it.live("does not take without a bound what is sent to a side that has reset", () =>
  Effect.gen(function* () {
    const { client, backend, relay } = yield* relayed({ halfCloseTimeoutMs: 300 })
    yield* client.write(pattern(10))
    yield* receive(backend, 10)
    client.reset()
    assert.strictEqual((yield* Effect.flip(peek(backend)))._tag, "PeerEnded")
    const cut = yield* Effect.flip(backend.write(pattern(32 * 1024 * 1024)))
    assert.strictEqual(cut._tag, "ConnectionReset")
    yield* assertRelayEnds(relay, "reset")
  }).pipe(Effect.provide(layer))
)

it.live("counts the half-close timeout from a FIN that it cannot pass on for want of a reader", () =>
  Effect.gen(function* () {
    const all = yield* peers
    const relay = yield* startRelay(all, { halfCloseTimeoutMs: 50 })
    const { client, back } = all
    // In pieces so small that the backend's queue in Node is not over its mark yet, and the client's FIN is read.
    assert.instanceOf(back, NodeConnection)
    while (back.socket.writableLength === 0) {
      yield* client.write(pattern(8 * 1024))
      yield* OPTIONS.turn
    }
    yield* client.endWrite
    yield* assertRelayEnds(relay, "half_close_timeout")
  }).pipe(Effect.provide(layer))
)
