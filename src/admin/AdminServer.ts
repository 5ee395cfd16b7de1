/**
 * Serves the operations of `AdminRpcs` on the admin socket: as Effect RPC at `/rpc` (NDJSON), and as gRPC, gRPC-Web and
 * Connect, with health and reflection.
 *
 * Answers are given until the layer's scope closes. Then nobody new is let in, streams end, calls that are running
 * finish within `finishTimeoutMs`, and the socket's file is gone.
 */
import type { ConnectRouter } from "@connectrpc/connect"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ByteSize, Deferred, Effect, Layer, Scope } from "effect"
import { HttpIncomingMessage } from "effect/http"
import { type Rpc, type RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { Drain } from "../control/Drain.ts"
import { AdminConnections, type AdminRequest, type AdminResponse, refuse } from "./AdminConnections.ts"
import { Unavailable } from "./AdminError.ts"
import { AdminRpcs } from "./AdminRpcs.ts"
import { type AdminSocketError, listen } from "./AdminSocket.ts"
import * as Calls from "./grpc/Calls.ts"
import * as GrpcAdapter from "./grpc/GrpcAdapter.ts"
import * as GrpcHttp from "./grpc/GrpcHttp.ts"
import * as Health from "./grpc/Health.ts"
import * as Reflection from "./grpc/Reflection.ts"
import { OperationGuard } from "./OperationGuard.ts"

export interface AdminServerOptions {
  /** Of the Unix socket. */
  readonly path: string
  /** How long a connection may ask nothing, and a request take to become whole. */
  readonly idleTimeoutMs?: number
  /** How long calls may go on once the layer's scope closes. */
  readonly finishTimeoutMs?: number
}

type Handlers = Rpc.ToHandler<RpcGroup.Rpcs<typeof AdminRpcs>>

export const layer = (options: AdminServerOptions): Layer.Layer<never, AdminSocketError, Handlers | Drain> =>
  Layer.effectDiscard(serve(options))

const serve = Effect.fnUntraced(function* ({
  finishTimeoutMs = FINISH_TIMEOUT_MS,
  idleTimeoutMs = IDLE_TIMEOUT_MS,
  path
}: AdminServerOptions): Effect.fn.Return<void, AdminSocketError, Handlers | Drain | Scope.Scope> {
  const closing = yield* Deferred.make<never, Unavailable>()
  const grpc = yield* serveGrpc(Deferred.await(closing))
  const rpc = yield* serveRpc(Deferred.await(closing))
  const handle = (request: AdminRequest, response: AdminResponse) => {
    if (RPC_PATHS.includes(request.url ?? "")) rpc(request, response)
    else void grpc.handle(request, response)
  }
  const connections = new AdminConnections({ takeStream: grpc.takePlain, handle }, idleTimeoutMs)
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Deferred.fail(closing, new Unavailable({ message: "the admin server is closing" })),
      Effect.promise(() => connections.close(finishTimeoutMs))
    )
  )
  yield* listen(path, (socket) => connections.accept(socket))
})

const serveGrpc = Effect.fnUntraced(function* (closing: Effect.Effect<never, Unavailable>) {
  const drain = yield* Drain
  const calls = yield* Calls.make(closing)
  const methods = yield* GrpcAdapter.make(calls)
  const registerOthers = (router: ConnectRouter) => {
    Health.register(router, calls, drain)
    Reflection.register(router)
  }
  return GrpcHttp.make({ methods, registerOthers, messageBytesMax: MESSAGE_BYTES_MAX })
})

const serveRpc = Effect.fnUntraced(function* (closing: Effect.Effect<never, Unavailable>) {
  const app = yield* RpcServer.toHttpEffect(AdminRpcs.middleware(OperationGuard)).pipe(
    Effect.provide([
      OperationGuard.layer(closing),
      RpcSerialization.layerNdjsonWith({ maxBufferSize: MESSAGE_BYTES_MAX })
    ])
  )
  const bounded = Effect.provideService(app, HttpIncomingMessage.MaxBodySize, ByteSize.bytes(MESSAGE_BYTES_MAX))
  // A scope of the requests' own: in this one they would come after what lets them finish, and be interrupted before it.
  const scope = yield* Scope.fork(yield* Effect.scope)
  const handle = yield* NodeHttpServer.makeHandler(bounded, { scope })
  return (request: AdminRequest, response: AdminResponse) => {
    if (request.method === "POST") handle(request, response)
    else refuse(response, 405)
  }
})

/** Effect's own client ends the path in a slash. */
const RPC_PATHS: ReadonlyArray<string> = ["/rpc", "/rpc/"]

/** A million firewall rules have half of it. */
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024

/** As long as clients keep a connection that they do not use. */
const IDLE_TIMEOUT_MS = 5 * 60_000

/** Longer than a commit waits for a database that is locked, and shorter than a supervisor waits before it kills. */
const FINISH_TIMEOUT_MS = 6000
