import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServiceError
} from "@grpc/grpc-js"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import type { Scope } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { until } from "../../l7/backend/World.ts"
import { identityOf, trusted } from "../harness/Certificates.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { startProxyIn } from "../harness/Proxy.ts"
import { within } from "../harness/Watch.ts"
import { splitAddress } from "../harness/Wire.ts"
import { l7Route } from "./Combined.ts"

// A stock implementation of gRPC on both ends; messages are text.

const toBytes = (text: string): Buffer => Buffer.from(text)
const toText = (bytes: Buffer): string => bytes.toString()

const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: toBytes,
  requestDeserialize: toText,
  responseSerialize: toBytes,
  responseDeserialize: toText
})

const UNARY = method("Unary", false, false)
const COLLECT = method("Collect", true, false)
const REPEAT = method("Repeat", false, true)
const CHAT = method("Chat", true, true)

/** Calls that run at the server and have been cancelled there. */
const calls = { running: 0, cancelled: 0 }

const BINARY = Buffer.from([0, 1, 2, 253, 254, 255])

const unary: handleUnaryCall<string, string> = (call, answer) => {
  calls.running++
  call.on("cancelled", () => calls.cancelled++)
  if (call.request === "never") return
  const trailers = new Metadata()
  trailers.set("seen-bin", call.metadata.get("own-bin")[0] ?? Buffer.alloc(0))
  if (call.request === "fail") {
    return answer({ code: status.FAILED_PRECONDITION, details: "no: ünïcode, 100 %", metadata: trailers })
  }
  answer(null, `${call.request} ${String(call.metadata.get("own")[0])}`, trailers)
}

const collect: handleClientStreamingCall<string, string> = (call, answer) => {
  const got: Array<string> = []
  call.on("data", (text: string) => {
    got.push(text)
    if (text === "enough") answer({ code: status.RESOURCE_EXHAUSTED, details: "enough" })
  })
  call.on("end", () => answer(null, `${got.length} ${got.join("").length}`))
}

const repeat: handleServerStreamingCall<string, string> = (call) => {
  call.on("cancelled", () => calls.cancelled++)
  calls.running++
  if (call.request === "for ever") return void call.write("one")
  for (let i = 0; i < 1000; i++) call.write(`${call.request} ${i}`)
  if (call.request === "broken") call.emit("error", { code: status.ABORTED, details: "broken" })
  else call.end()
}

const chat: handleBidiStreamingCall<string, string> = (call) => {
  calls.running++
  call.on("cancelled", () => calls.cancelled++)
  call.on("data", (text: string) => {
    call.write(text.toUpperCase())
    if (text === "enough") call.end()
  })
  call.on("end", () => call.end())
}

interface Site {
  readonly port: number
  readonly ca: string
}

const startServer = (tls: boolean): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = new Server()
      server.addService(
        { Unary: UNARY, Collect: COLLECT, Repeat: REPEAT, Chat: CHAT },
        { Unary: unary, Collect: collect, Repeat: repeat, Chat: chat }
      )
      const { certificate, key } = await identityOf("backend.test")
      const pair = [{ private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) }]
      const own = tls ? ServerCredentials.createSsl(null, pair) : ServerCredentials.createInsecure()
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync("127.0.0.1:0", own, (error, bound) => (error === null ? resolve(bound) : reject(error)))
      })
      return { port, server }
    }),
    ({ server }) => Effect.sync(() => server.forceShutdown())
  ).pipe(Effect.map(({ port }) => port))

class Table extends Context.Service<Table, Site>()("mc-proxy/test/Grpc") {
  static readonly layer = Layer.effect(
    Table,
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const ca = join(folder, "ca.pem")
      writeFileSync(ca, trusted)
      const overTls = { backend_tls: true, backend_ca: ca, backend_server_name: "backend.test" }
      const routes = [
        yield* l7Route(folder, "h2c.test", `127.0.0.1:${yield* startServer(false)}`),
        { ...(yield* l7Route(folder, "h2s.test", `127.0.0.1:${yield* startServer(true)}`)), ...overTls },
        yield* l7Route(folder, "gone.test", "127.0.0.1:1")
      ]
      const proxy = yield* startProxyIn(folder, { listeners: [{ routes }] })
      return { port: splitAddress(proxy.address).port, ca }
    })
  )
}

const connect = ({ port }: Site, name: string): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new Client(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(trusted)), {
          "grpc.ssl_target_name_override": name,
          "grpc.default_authority": name,
          "grpc.use_local_subchannel_pool": 1
        })
    ),
    (client) => Effect.sync(() => client.close())
  )

interface Ended {
  readonly code: number
  readonly details: string
  readonly metadata: Metadata
}

const callUnary = (client: Client, text: string, metadata = new Metadata(), deadlineMs = 20_000) =>
  Effect.callback<{ readonly answer: string | undefined; readonly end: Ended }>((resume) => {
    let answer: string | undefined
    const options = { deadline: Date.now() + deadlineMs }
    const call = client.makeUnaryRequest(UNARY.path, toBytes, toText, text, metadata, options, (_error, got) => {
      answer = got
    })
    call.on("status", (end: Ended) => setImmediate(() => resume(Effect.succeed({ answer, end }))))
  }).pipe(within("a unary call"))

layer(Table.layer, { excludeTestServices: true })("gRPC", (it) => {
  const each = (name: string, check: (client: Client) => Effect.Effect<void, never, Scope.Scope>) => {
    for (const backend of ["h2c.test", "h2s.test"]) {
      it.effect(`${name}, to ${backend}`, () =>
        Effect.gen(function* () {
          const client = yield* connect(yield* Table, backend)
          calls.running = 0
          calls.cancelled = 0
          yield* check(client)
        })
      )
    }
  }

  each(
    "answers unary calls with their metadata, binary as well, and their status",
    Effect.fnUntraced(function* (client) {
      const metadata = new Metadata()
      metadata.set("own", "ours")
      metadata.set("own-bin", BINARY)
      const good = yield* callUnary(client, "hello", metadata)
      assert.deepStrictEqual([good.answer, good.end.code], ["hello ours", status.OK])
      assert.deepStrictEqual(good.end.metadata.get("seen-bin"), [BINARY])
      const bad = yield* callUnary(client, "fail", metadata)
      assert.deepStrictEqual([bad.end.code, bad.end.details], [status.FAILED_PRECONDITION, "no: ünïcode, 100 %"])
      assert.deepStrictEqual(bad.end.metadata.get("seen-bin"), [BINARY])
    })
  )

  each(
    "ends a call at its deadline, on both sides",
    Effect.fnUntraced(function* (client) {
      const { end } = yield* callUnary(client, "never", new Metadata(), 200)
      assert.strictEqual(end.code, status.DEADLINE_EXCEEDED)
      yield* until(() => calls.cancelled === 1)
    })
  )

  each(
    "cancels a call for the server when its client does, before an answer and within",
    Effect.fnUntraced(function* (client) {
      const never = client.makeUnaryRequest(UNARY.path, toBytes, toText, "never", () => {})
      yield* until(() => calls.running === 1)
      never.cancel()
      yield* until(() => calls.cancelled === 1)
      const stream = client.makeServerStreamRequest(REPEAT.path, toBytes, toText, "for ever")
      let code: number | undefined
      stream.on("error", ({ code: got }: ServiceError) => (code = got))
      stream.on("data", () => stream.cancel())
      yield* until(() => calls.cancelled === 2 && code !== undefined)
      assert.strictEqual(code, status.CANCELLED)
    })
  )

  each(
    "carries a client's stream, and an answer before its end",
    Effect.fnUntraced(function* (client) {
      const send = (messages: ReadonlyArray<string>) =>
        Effect.callback<string | number>((resume) => {
          const call = client.makeClientStreamRequest<string, string>(
            COLLECT.path,
            toBytes,
            toText,
            (error, answer) => {
              resume(Effect.succeed(error === null ? (answer ?? "") : error.code))
            }
          )
          for (const message of messages) call.write(message)
          if (!messages.includes("enough")) call.end()
        }).pipe(within("a client's stream"))
      assert.strictEqual(yield* send(Array.from({ length: 2000 }, () => "x".repeat(1000))), "2000 2000000")
      assert.strictEqual(yield* send([]), "0 0")
      assert.strictEqual(yield* send(["one", "enough"]), status.RESOURCE_EXHAUSTED)
    })
  )

  each(
    "carries a server's stream, and the error that ends it",
    Effect.fnUntraced(function* (client) {
      const take = (text: string) =>
        Effect.callback<readonly [number, number]>((resume) => {
          const call = client.makeServerStreamRequest(REPEAT.path, toBytes, toText, text)
          let count = 0
          call.on("data", (got: string) => {
            assert.strictEqual(got, `${text} ${count++}`)
          })
          call.on("error", () => {})
          call.on("status", ({ code }: Ended) => setImmediate(() => resume(Effect.succeed([count, code]))))
        }).pipe(within("a server's stream"))
      assert.deepStrictEqual(yield* take("good"), [1000, status.OK])
      const [, code] = yield* take("broken")
      assert.strictEqual(code, status.ABORTED)
    })
  )

  each(
    "carries a stream both ways, message by message",
    Effect.fnUntraced(function* (client) {
      const call = client.makeBidiStreamRequest(CHAT.path, toBytes, toText)
      const got: Array<string> = []
      let code: number | undefined
      call.on("data", (text: string) => got.push(text)).on("status", (end: Ended) => (code = end.code))
      for (const [i, text] of ["one", "two", "three"].entries()) {
        call.write(text)
        yield* until(() => got.length === i + 1)
      }
      call.end()
      yield* until(() => code !== undefined)
      assert.deepStrictEqual([got, code], [["ONE", "TWO", "THREE"], status.OK])
      // The server may be the first to end it.
      const other = client.makeBidiStreamRequest(CHAT.path, toBytes, toText)
      const last: Array<string | number> = []
      other.on("data", (text: string) => last.push(text)).on("status", (end: Ended) => last.push(end.code))
      other.write("enough")
      yield* until(() => last.length === 2)
      assert.deepStrictEqual(last, ["ENOUGH", status.OK])
    })
  )

  each(
    "runs a thousand calls at a time",
    Effect.fnUntraced(function* (client) {
      const texts = Array.from({ length: 1000 }, (_, i) => `call ${i}`)
      const answers = yield* Effect.forEach(texts, (text) => callUnary(client, text), { concurrency: "unbounded" })
      assert.deepStrictEqual(
        answers.map(({ answer }) => answer),
        texts.map((text) => `${text} undefined`)
      )
    })
  )

  it.effect("is told UNAVAILABLE where the backend is gone", () =>
    Effect.gen(function* () {
      const client = yield* connect(yield* Table, "gone.test")
      const { end } = yield* callUnary(client, "hello")
      assert.deepStrictEqual([end.code, end.details], [status.UNAVAILABLE, "backend unavailable"])
    })
  )
})
