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

/** The methods of the service, each as its operation answers it. */
export interface Methods {
  readonly unary: ReadonlyArray<UnaryMethod>
  readonly streaming: ReadonlyArray<StreamingMethod>
}

/** Fails with a `ConnectError`. */
export interface UnaryMethod {
  readonly method: DescMethodUnary
  readonly answer: (request: Message, signal: AbortSignal) => Promise<Message>
}

export interface StreamingMethod {
  readonly method: DescMethodServerStreaming
  readonly answer: (request: Message, signal: AbortSignal) => AsyncIterable<Message>
}

/** A method without an operation is in neither list. */
export const make = Effect.fnUntraced(function* (
  calls: Calls
): Effect.fn.Return<Methods, never, Rpc.ToHandler<Operation>> {
  const unary: Array<UnaryMethod> = []
  const streaming: Array<StreamingMethod> = []
  for (const method of ProxyAdminService.methods) {
    const rpc = AdminRpcs.requests.get(method.localName)
    if (rpc === undefined) continue
    const handler = yield* AdminRpcs.accessHandler(rpc._tag)
    const decode = decoder(method.input, rpc.payloadSchema)
    const encode = encoder(method.output, rpc.successSchema)
    const ask = (request: Message) => Effect.map(decode(request), (payload) => handler(payload, caller()))
    if (isUnary(method)) {
      const answer = (request: Message) => ask(request).pipe(Effect.flatMap(answerOf), Effect.flatMap(encode))
      unary.push({ method, answer: (request, signal) => calls.unary(rpc._tag, answer(request), signal) })
    } else if (isServerStreaming(method)) {
      const items = (request: Message) => Stream.mapEffect(Stream.unwrap(Effect.map(ask(request), itemsOf)), encode)
      streaming.push({ method, answer: (request, signal) => calls.stream(rpc._tag, items(request), signal) })
    }
  }
  return { unary, streaming }
})

/** With Connect, which speaks every form of the three protocols. */
export const register = (router: ConnectRouter, { streaming, unary }: Methods): void => {
  for (const { answer, method } of unary) router.rpc(method, (request, { signal }) => answer(request, signal))
  for (const { answer, method } of streaming) router.rpc(method, (request, { signal }) => answer(request, signal))
}

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
