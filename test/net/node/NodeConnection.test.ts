import { assert, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { Socket } from "node:net"
import { NodeConnection } from "../../../src/net/node/NodeConnection.ts"
import { formatSocketAddress } from "../../../src/net/SocketAddress.ts"
import { layer } from "../../../src/net/node/NodeNetwork.ts"
import { LOOPBACK, listening, pattern, peek, receive } from "../suite/Fixture.ts"
import { rawPeer } from "./RawPeer.ts"

const accepted = Effect.gen(function* () {
  const listener = yield* listening(LOOPBACK)
  const peer = yield* rawPeer(listener.address)
  return { peer, connection: yield* Queue.take(listener.accepted) }
})

it("shows a link-local peer without its zone, and none that has no address any more", () => {
  const peerOf = (remoteAddress: string | undefined) => {
    const socket = Object.defineProperties(new Socket(), {
      remoteAddress: { value: remoteAddress },
      remotePort: { value: remoteAddress && 5123 }
    })
    const { peer } = new NodeConnection(socket, () => 0)
    return peer && formatSocketAddress(peer)
  }
  assert.strictEqual(peerOf("fe80::1%eth0"), "[fe80::1]:5123")
  assert.strictEqual(peerOf("::ffff:192.0.2.1"), "192.0.2.1:5123")
  assert.isUndefined(peerOf(undefined))
})

it.live("sends a RST for reset, and no FIN", () =>
  Effect.gen(function* () {
    const { peer, connection } = yield* accepted
    yield* connection.write(pattern(10))
    connection.reset()
    assert.deepStrictEqual(yield* peer.closed, ["ECONNRESET", "close"])
  }).pipe(Effect.provide(layer))
)

it.live("sends a RST for reset also when a backlog waits to be sent", () =>
  Effect.gen(function* () {
    const { peer, connection } = yield* accepted
    peer.socket.pause()
    yield* Effect.forkChild(connection.write(pattern(16 * 1024 * 1024)), { startImmediately: true })
    yield* connection.endWrite
    connection.reset()
    peer.socket.resume()
    assert.deepStrictEqual(yield* peer.closed, ["ECONNRESET", "close"])
  }).pipe(Effect.provide(layer))
)

it.live("refers to nobody any more once it has closed, and an error that comes late harms nobody", () =>
  Effect.gen(function* () {
    const { connection } = yield* accepted
    const socket = connection instanceof NodeConnection ? connection.socket : assert.fail("It is another connection.")
    yield* Effect.callback<void>((resume) => {
      socket.once("close", () => resume(Effect.void))
      connection.reset()
    })
    assert.deepStrictEqual(socket.eventNames(), ["error"])
    socket.emit("error", new Error("late"))
  }).pipe(Effect.provide(layer))
)

it.live("sends a FIN for endWrite, and closes without a RST when both ways have finished", () =>
  Effect.gen(function* () {
    const { peer, connection } = yield* accepted
    yield* connection.write(pattern(10))
    yield* connection.endWrite
    yield* Effect.callback<void>((resume) => {
      peer.socket.once("end", () => resume(Effect.void))
    })
    peer.socket.end(pattern(1000))
    yield* receive(connection, 1000)
    yield* Effect.flip(peek(connection))
    connection.reset()
    assert.deepStrictEqual(yield* peer.closed, ["end", "close"])
  }).pipe(Effect.provide(layer))
)
