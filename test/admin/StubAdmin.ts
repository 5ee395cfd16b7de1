/**
 * A small admin server on a Unix socket of its own: the operations as Effect RPC, answered by the test, which also sees
 * what was asked. The test's scope owns it.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, type Stream } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { type Rpc, RpcSerialization, RpcServer } from "effect/rpc"
import { createServer } from "node:http"
import { join } from "node:path"
import type { Operation } from "../../src/admin/AdminClient.ts"
import type { AdminError } from "../../src/admin/AdminError.ts"
import { AdminRpcs } from "../../src/admin/AdminRpcs.ts"
import { temporaryFolder } from "../e2e/harness/Folder.ts"

/** What the test answers; any other operation is a defect of the test's. */
export type Answers = Partial<Handlers>

type Handlers = {
  readonly [O in Operation as O["_tag"]]: (
    request: Rpc.Payload<O>
  ) => Rpc.Success<O> extends Stream.Stream<infer Item, AdminError>
    ? Stream.Stream<Item, AdminError>
    : Effect.Effect<Rpc.Success<O>, AdminError>
}

export interface Asked {
  readonly operation: string
  readonly request: unknown
}

export interface StubAdmin {
  readonly socket: string
  /** In the order of their coming. */
  readonly asked: ReadonlyArray<Asked>
}

/** Health is SERVING unless `health` says otherwise. */
export const startAdmin = Effect.fnUntraced(function* (answers: Answers, health: unknown = { status: "SERVING" }) {
  const socket = join(yield* temporaryFolder, "admin.sock")
  const asked: Array<Asked> = []
  const routes = Layer.merge(
    RpcServer.layerHttp({ group: AdminRpcs, path: "/rpc", protocol: "http" }),
    HttpRouter.add("POST", "/grpc.health.v1.Health/Check", HttpServerResponse.jsonUnsafe(health))
  )
  yield* HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(AdminRpcs.toLayer(recording(answers, asked))),
    Layer.provide([
      RpcSerialization.layerNdjson,
      NodeHttpServer.layer(createServer, { path: socket, gracefulShutdownTimeout: 0 })
    ]),
    Layer.build
  )
  return { socket, asked } satisfies StubAdmin
})

/** Every operation of the group, each noted before it is answered. */
export const recording = (answers: Answers, asked: Array<Asked>): Handlers => {
  const answerOf = new Map<string, (request: never) => unknown>(Object.entries(answers))
  const handlers = [...AdminRpcs.requests.keys()].map((operation) => [
    operation,
    (request: never) => {
      asked.push({ operation, request })
      const answer = answerOf.get(operation)
      return answer === undefined ? Effect.die(new Error(`${operation} was not expected`)) : answer(request)
    }
  ])
  return Object.fromEntries(handlers) as Handlers
}
