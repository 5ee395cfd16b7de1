/** A stock gRPC client: `@grpc/grpc-js` with what `@grpc/proto-loader` makes of the `.proto` files themselves. */
import * as grpc from "@grpc/grpc-js"
import { loadSync, type MethodDefinition } from "@grpc/proto-loader"
import { Effect, Exit, type Scope } from "effect"

const definitions = loadSync(
  [
    "mc_proxy/v1/admin.proto",
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto"
  ],
  { includeDirs: ["proto"], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true }
)

export type Fields = Readonly<Record<string, unknown>>

/** `mc_proxy.v1.ProxyAdminService`, `GetStatus` */
export const methodOf = (service: string, name: string): MethodDefinition<object, object> => {
  const definition = definitions[service]
  const method = definition !== undefined && !("format" in definition) ? definition[name] : undefined
  if (method === undefined) throw new Error(`${service} has no ${name}`)
  return method
}

export const adminMethod = (name: string) => methodOf("mc_proxy.v1.ProxyAdminService", name)

/** A connection of its own, closed with the scope. */
export const connectClient = (
  socket: string,
  options: grpc.ClientOptions = {}
): Effect.Effect<grpc.Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), {
          "grpc.max_receive_message_length": -1,
          "grpc.max_send_message_length": -1,
          "grpc.use_local_subchannel_pool": 1,
          ...options
        })
    ),
    (client) => Effect.sync(() => client.close())
  )

/** Cancelled by its interruption. */
export const callUnary = (
  client: grpc.Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<object, object>,
  request: Fields,
  options: grpc.CallOptions = {}
): Effect.Effect<Fields, grpc.ServiceError> =>
  Effect.callback((resume) => {
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new grpc.Metadata(),
      options,
      (error, answer) => resume(error === null ? Exit.succeed({ ...answer }) : Exit.fail(error))
    )
    return Effect.sync(() => call.cancel())
  })

export const openStream = (
  client: grpc.Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<object, object>,
  request: Fields,
  options: grpc.CallOptions = {}
): grpc.ClientReadableStream<object> => {
  const metadata = new grpc.Metadata()
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata, options)
  // Its status says as much.
  return stream.on("error", () => undefined)
}

/** The next item, or how the stream ended: with its status. */
export const nextOf = (stream: grpc.ClientReadableStream<object>): Effect.Effect<Fields, grpc.StatusObject> =>
  Effect.callback((resume) => {
    const onStatus = (status: grpc.StatusObject) => resume(Exit.fail(status))
    stream.once("status", onStatus)
    stream.once("data", (item: object) => {
      stream.off("status", onStatus)
      stream.pause()
      resume(Exit.succeed({ ...item }))
    })
    stream.resume()
  })

/** Sends the questions one after the other, each after the answer to the one before. */
export const converse = (
  client: grpc.Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<object, object>,
  questions: ReadonlyArray<Fields>
): Effect.Effect<ReadonlyArray<Fields>, grpc.ServiceError> =>
  Effect.callback((resume) => {
    const answers: Array<Fields> = []
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new grpc.Metadata())
    const ask = () => {
      const question = questions[answers.length]
      if (question === undefined) call.end()
      else call.write(question)
    }
    call.on("data", (answer: object) => {
      answers.push({ ...answer })
      ask()
    })
    call.on("error", (error: grpc.ServiceError) => resume(Exit.fail(error)))
    call.on("end", () => resume(Exit.succeed(answers)))
    ask()
  })
