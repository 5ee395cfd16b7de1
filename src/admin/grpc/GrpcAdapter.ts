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
import { ConnectError, type ConnectRouter } from "@connectrpc/connect"
import { Effect, Result, Schema, Stream } from "effect"
import { Headers } from "effect/http"
import { Rpc, type RpcGroup, RpcMessage, RpcSchema } from "effect/rpc"
import { type AdminError, InvalidArgument } from "../AdminError.ts"
import { AdminRpcs } from "../AdminRpcs.ts"
import type { Calls, Cancel, Settle } from "./Calls.ts"
import { ProxyAdminService } from "./gen/mc_proxy/v1/admin_pb.ts"
import { describeMisfit } from "./Misfit.ts"

type Operation = RpcGroup.Rpcs<typeof AdminRpcs>

/** The methods of the service, each as its operation answers it. */
export interface Methods {
  readonly unary: ReadonlyArray<UnaryMethod>
  readonly streaming: ReadonlyArray<StreamingMethod>
}

export interface UnaryMethod {
  readonly method: DescMethodUnary
  readonly answer: (request: Message, settle: Settle<Message>) => Cancel
}

/** Fails with a `ConnectError`. */
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
    const ask = (request: Message) => Result.map(decode(request), (payload) => handler(payload, caller()))
    if (isUnary(method)) {
      const answer = (request: Message) =>
        Effect.suspend(() => {
          const asked = ask(request)
          return Result.isFailure(asked) ? asked.failure : Effect.map(answerOf(asked.success), encode)
        })
      unary.push({ method, answer: (request, settle) => calls.start(rpc._tag, answer(request), settle) })
    } else if (isServerStreaming(method)) {
      const items = (request: Message) =>
        Stream.map(Stream.unwrap(Effect.suspend(() => Effect.fromResult(Result.map(ask(request), itemsOf)))), encode)
      streaming.push({ method, answer: (request, signal) => calls.stream(rpc._tag, items(request), signal) })
    }
  }
  return { unary, streaming }
})

/** With Connect, which speaks every form of the three protocols. */
export const register = (router: ConnectRouter, { streaming, unary }: Methods): void => {
  for (const { answer, method } of unary) {
    router.rpc(method, (request, { signal }) => promise(signal, (settle) => answer(request, settle)))
  }
  for (const { answer, method } of streaming) router.rpc(method, (request, { signal }) => answer(request, signal))
}

const promise = <A>(signal: AbortSignal, start: (settle: Settle<A>) => Cancel): Promise<A> =>
  new Promise((resolve, reject) => {
    const cancel = start(Result.match({ onSuccess: resolve, onFailure: reject }))
    const abort = () => cancel(ConnectError.from(signal.reason))
    if (signal.aborted) abort()
    else signal.addEventListener("abort", abort)
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
  const decode = Schema.decodeUnknownResult(schema, { errors: "all" })
  return (request: Message) => {
    const json = toJson(message, request, { alwaysEmitImplicit: true })
    return Result.mapError(
      decode(json),
      ({ issue }) => new InvalidArgument({ message: describeMisfit(message, json, issue) })
    )
  }
}

/** Throws when an answer does not fit its own schema, or the message: a defect. */
const encoder = (message: DescMessage, schema: Operation["successSchema"]) => {
  const encode = Schema.encodeUnknownSync(RpcSchema.isStreamSchema(schema) ? schema.success : schema)
  const isJson = Schema.is(Schema.MutableJson)
  return (answer: unknown): Message => {
    const json = encode(answer)
    if (!isJson(json)) throw new Error(`${message.name}: not encoded as JSON`)
    return fromJson(message, json)
  }
}

type Answering = Rpc.ResultFrom<Operation, never>

const answerOf = (result: Answering): Effect.Effect<unknown, AdminError> =>
  Stream.isStream(result) ? Effect.die("a stream answers a unary method") : result

const itemsOf = (result: Answering): Stream.Stream<unknown, AdminError> =>
  Stream.isStream(result) ? result : Stream.die("no stream answers a streaming method")
