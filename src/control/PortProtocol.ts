/**
 * Effect RPC between two threads over a MessagePort: the client in one, the server in the other.
 *
 * The layers listen on the port and do not close it: that is for whoever made it.
 */
import { Effect, Layer, Queue, Schema } from "effect"
import { RpcClient, RpcServer, type RpcSerialization } from "effect/rpc"
import type { FromClientEncoded, FromServerEncoded } from "effect/rpc/RpcMessage"
import type { MessagePort } from "node:worker_threads"

/** Calls the server at the port's other end. */
export const layerClient = (port: MessagePort): Layer.Layer<RpcClient.Protocol> =>
  Layer.effect(
    RpcClient.Protocol,
    RpcClient.Protocol.make(
      Effect.fnUntraced(function* (writeResponse, clientIds) {
        yield* listen<FromServerEncoded>(port, (response) =>
          Effect.forEach(clientIds, (id) => writeResponse(id, response), { discard: true })
        )
        return {
          send: (_clientId: number, request: FromClientEncoded) => Effect.sync(() => port.postMessage(request)),
          supportsAck: true,
          supportsTransferables: false,
          codecFor: CODEC_FOR
        }
      })
    )
  )

/** Serves the one client at the port's other end; when that is gone, what it has called is interrupted. */
export const layerServer = (port: MessagePort): Layer.Layer<RpcServer.Protocol> =>
  Layer.effect(
    RpcServer.Protocol,
    RpcServer.Protocol.make(
      Effect.fnUntraced(function* (writeRequest) {
        const disconnects = yield* Queue.unbounded<number>()
        const disconnected = () => void Queue.offerUnsafe(disconnects, CLIENT)
        yield* Effect.acquireRelease(
          Effect.sync(() => port.once("close", disconnected)),
          () => Effect.sync(() => port.off("close", disconnected))
        )
        yield* listen<FromClientEncoded>(port, (request) => writeRequest(CLIENT, request))
        return {
          disconnects,
          send: (_clientId: number, response: FromServerEncoded) => Effect.sync(() => port.postMessage(response)),
          end: () => Effect.void,
          clientIds: Effect.succeed(new Set([CLIENT])),
          initialMessage: Effect.succeedNone,
          supportsAck: true,
          supportsTransferables: false,
          supportsSpanPropagation: true,
          supportsNotifications: true,
          codecFor: CODEC_FOR
        }
      })
    )
  )

/** The only one there can be. */
const CLIENT = 0

/** Messages are cloned, not written; what they carry is plain JSON. */
const CODEC_FOR = Schema.toCodecJson as RpcSerialization.CodecFor

/** Messages are handled from then on, until the scope closes; those that came before have waited. */
const listen = Effect.fnUntraced(function* <A>(port: MessagePort, handle: (message: A) => Effect.Effect<void>) {
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const onMessage = (message: A) => void run(handle(message))
  yield* Effect.acquireRelease(
    Effect.sync(() => port.on("message", onMessage)),
    () => Effect.sync(() => port.off("message", onMessage))
  )
})
