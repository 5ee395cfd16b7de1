/**
 * `ProxyAdminService` by the handlers of `AdminRpcs`: each method is the operation of its name, and its request and
 * answer pass through that operation's schemas as proto3 JSON. Nothing here knows a method, so that none can differ.
 */
import {
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromJson,
  type Message,
  toJson
} from "@bufbuild/protobuf"
import type { ConnectRouter } from "@connectrpc/connect"
import { Effect, Schema, Stream } from "effect"
import { Headers } from "effect/http"
import { Rpc, type RpcGroup, RpcMessage, RpcSchema } from "effect/rpc"
import { type AdminError, InvalidArgument } from "../AdminError.ts"
import { AdminRpcs } from "../AdminRpcs.ts"
import type { Calls } from "./Calls.ts"
import { ProxyAdminService } from "./gen/mc_proxy/v1/admin_pb.ts"
import { describeMisfit } from "./Misfit.ts"

type Operation = RpcGroup.Rpcs<typeof AdminRpcs>

/** Gives what registers the service with a router. A method without an operation stays unimplemented. */
export const make = Effect.fnUntraced(function* (
  calls: Calls
): Effect.fn.Return<(router: ConnectRouter) => void, never, Rpc.ToHandler<Operation>> {
  const registrations: Array<(router: ConnectRouter) => void> = []
  for (const method of ProxyAdminService.methods) {
    const rpc = AdminRpcs.requests.get(method.localName)
    if (rpc === undefined) continue
    const handler = yield* AdminRpcs.accessHandler(rpc._tag)
    const decode = decoder(method.input, rpc.payloadSchema)
    const encode = encoder(method.output, rpc.successSchema)
    const ask = (request: Message) => Effect.map(decode(request), (payload) => handler(payload, caller()))
    if (isUnary(method)) {
      registrations.push((router) =>
        router.rpc(method, (request, call) =>
          calls.unary(rpc._tag, ask(request).pipe(Effect.flatMap(answerOf), Effect.flatMap(encode)), call)
        )
      )
    } else if (isServerStreaming(method)) {
      registrations.push((router) =>
        router.rpc(method, (request, call) => {
          const items = Stream.unwrap(Effect.map(ask(request), itemsOf))
          return calls.stream(rpc._tag, Stream.mapEffect(items, encode), call)
        })
      )
    }
  }
  return (router) => registrations.forEach((register) => register(router))
})

const isUnary = (method: DescMethod): method is DescMethodUnary => method.methodKind === "unary"

const isServerStreaming = (method: DescMethod): method is DescMethodServerStreaming =>
  method.methodKind === "server_streaming"

/** What a handler is told of who asks. Here, each call is a client of its own. */
const caller = () => ({
  client: new Rpc.ServerClient(0),
  requestId: RpcMessage.RequestId(0),
  headers: Headers.empty
})

const decoder = (message: DescMessage, schema: Operation["payloadSchema"]) => {
  const decode = Schema.decodeUnknownEffect(schema, { errors: "all" })
  return (request: Message) => {
    const json = toJson(message, request, { alwaysEmitImplicit: true })
    return Effect.mapError(
      decode(json),
      ({ issue }) => new InvalidArgument({ message: describeMisfit(message, json, issue) })
    )
  }
}

/** An answer that does not fit its own schema, or the message, is a defect. */
const encoder = (message: DescMessage, schema: Operation["successSchema"]) => {
  const encode = Schema.encodeUnknownEffect(RpcSchema.isStreamSchema(schema) ? schema.success : schema)
  const isJson = Schema.is(Schema.MutableJson)
  return (answer: unknown) =>
    Effect.flatMap(Effect.orDie(encode(answer)), (json) =>
      isJson(json) ? Effect.sync(() => fromJson(message, json)) : Effect.die(`${message.name}: not encoded as JSON`)
    )
}

type Result = Rpc.ResultFrom<Operation, never>

const answerOf = (result: Result): Effect.Effect<unknown, AdminError> =>
  Stream.isStream(result) ? Effect.die("a stream answers a unary method") : result

const itemsOf = (result: Result): Stream.Stream<unknown, AdminError> =>
  Stream.isStream(result) ? result : Stream.die("no stream answers a streaming method")
