import { Code, ConnectError, createClient } from "@connectrpc/connect"
import { createGrpcWebTransport } from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import { status } from "@grpc/grpc-js"
import { DateTime, Deferred, Effect, Fiber, Queue, Schema, Stream } from "effect"
import { execFile } from "node:child_process"
import { lstatSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { AdminClient } from "../../src/admin/AdminClient.ts"
import { NotFound } from "../../src/admin/AdminError.ts"
import { ProxyAdminService } from "../../src/admin/grpc/gen/mc_proxy/v1/admin_pb.ts"
import { adminMethod, callUnary, connectClient, methodOf, nextOf, openStream } from "./grpc/StockClient.ts"
import { startStub } from "./grpc/Stub.ts"

const ADMIN = "http://localhost/mc_proxy.v1.ProxyAdminService"

const STATUS = {
  version: "1.2.3",
  startedAt: DateTime.makeUnsafe("2026-01-02T03:04:05.678Z"),
  uptime: 61_005,
  totalConnections: 5,
  activeConnections: 1,
  listeners: [],
  draining: false,
  revision: 7
}

const STATUS_AS_JSON = {
  version: "1.2.3",
  startedAt: "2026-01-02T03:04:05.678Z",
  uptime: "61.005s",
  totalConnections: "5",
  activeConnections: "1",
  revision: "7"
}

const toConnectError = (reason: unknown) => ConnectError.from(reason)

const dropped = (count: number) => ({ event: "dropped" as const, outcome: "" as const, dropped: count })

/** What curl prints: the body, then the status of HTTP and the version that it spoke. */
const curl = (socket: string, ...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly body: string; readonly code: string; readonly http: string }, Error>((resume) => {
    const write = "\n%{http_code} %{http_version}"
    const child = execFile(
      "curl",
      ["--silent", "--max-time", "10", "--unix-socket", socket, "--write-out", write, ...args],
      (error, stdout) => {
        const cut = stdout.lastIndexOf("\n")
        const [code = "", http = ""] = stdout.slice(cut + 1).split(" ")
        resume(error === null ? Effect.succeed({ body: stdout.slice(0, cut), code, http }) : Effect.fail(error))
      }
    )
    return Effect.sync(() => child.kill())
  })

const curlStatus = (socket: string, ...args: ReadonlyArray<string>) =>
  curl(socket, ...args, "--header", "content-type: application/json", "--data", "{}", `${ADMIN}/GetStatus`)

const parseJson = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Json))

/** One operation through the project's own client. */
const rpc = <A, E>(socket: string, use: (admin: AdminClient["Service"]) => Effect.Effect<A, E>) =>
  Effect.provide(Effect.flatMap(AdminClient, use), AdminClient.layer({ socket }))

/** A connection with nothing but bytes; closed with the scope. */
const rawConnection = (socket: string) =>
  Effect.acquireRelease(
    Effect.sync(() => connect(socket).on("error", () => undefined)),
    (raw) => Effect.sync(() => raw.destroy())
  )

const ended = (raw: Socket) =>
  Effect.callback<void>((resume) => {
    if (raw.closed) resume(Effect.void)
    else raw.resume().once("close", () => resume(Effect.void))
  })

describe("the admin server", () => {
  it.live("answers curl in JSON, over HTTP/1.1 and HTTP/2 on one socket", () =>
    Effect.gen(function* () {
      const { socket } = yield* startStub({
        getStatus: () => Effect.succeed(STATUS),
        removeRoute: () => Effect.fail(new NotFound({ message: "no such route" }))
      })
      for (const [flag, http] of [
        ["--http1.1", "1.1"],
        ["--http2-prior-knowledge", "2"]
      ] as const) {
        const answer = yield* curlStatus(socket, flag)
        assert.deepStrictEqual({ ...answer, body: parseJson(answer.body) }, { code: "200", http, body: STATUS_AS_JSON })
        const json = ["--header", "content-type: application/json", "--data", "{}"]
        const refused = yield* curl(socket, flag, ...json, `${ADMIN}/RemoveRoute`)
        assert.deepStrictEqual(parseJson(refused.body), { code: "not_found", message: "no such route" })
        assert.strictEqual(refused.code, "404")
      }
    })
  )

  it.live("answers gRPC-Web, streams included", () =>
    Effect.gen(function* () {
      const { socket } = yield* startStub({
        snapshot: () => Effect.succeed({ bytes: 3 }),
        watchConnections: () => Stream.map(Stream.range(1, 3), dropped),
        removeRoute: () => Effect.fail(new NotFound({ message: "a: b" }))
      })
      const transport = createGrpcWebTransport({
        baseUrl: "http://localhost",
        httpVersion: "1.1",
        nodeOptions: { socketPath: socket }
      })
      const client = createClient(ProxyAdminService, transport)
      assert.strictEqual((yield* Effect.promise(() => client.snapshot({ path: "/x" }))).bytes, 3n)
      const events = Stream.fromAsyncIterable(client.watchConnections({}), toConnectError)
      const counts = yield* Stream.runCollect(Stream.map(events, (event) => event.dropped))
      assert.deepStrictEqual(counts, [1n, 2n, 3n])
      const refused = yield* Effect.promise(() => client.removeRoute({}).then(() => undefined, toConnectError))
      assert.deepStrictEqual([refused?.code, refused?.rawMessage], [Code.NotFound, "a: b"])
    })
  )

  it.live("answers Effect RPC at /rpc: refusals, defects in general words, and streams", () =>
    Effect.gen(function* () {
      const { logged, socket } = yield* startStub({
        getStatus: () => Effect.succeed(STATUS),
        removeRoute: () => Effect.fail(new NotFound({ message: "no such route" })),
        reload: () => Effect.die(new Error("the secret detail")),
        watchConnections: () => Stream.map(Stream.range(1, 100), dropped)
      })
      assert.deepStrictEqual(yield* rpc(socket, (admin) => admin.getStatus({})), STATUS)
      const refused = yield* Effect.flip(rpc(socket, (admin) => admin.removeRoute({})))
      assert.deepStrictEqual([refused._tag, refused.message], ["NotFound", "no such route"])
      const broken = yield* Effect.flip(rpc(socket, (admin) => admin.reload({})))
      const words = "reload met a defect of the proxy; its log says more"
      assert.deepStrictEqual([broken._tag, broken.message], ["Internal", words])
      assert.lengthOf(logged, 1)
      assert.lengthOf(yield* rpc(socket, (admin) => Stream.runCollect(admin.watchConnections({}))), 100)
      assert.strictEqual(yield* rpc(socket, (admin) => admin.health), "SERVING")
    })
  )

  it.live("knows no other path and no other method", () =>
    Effect.gen(function* () {
      const { socket } = yield* startStub({})
      const client = yield* connectClient(socket)
      const unknown = { ...adminMethod("GetStatus"), path: "/mc_proxy.v1.ProxyAdminService/Nothing" }
      assert.strictEqual((yield* Effect.flip(callUnary(client, unknown, {}))).code, status.UNIMPLEMENTED)
      assert.strictEqual((yield* curl(socket, "http://localhost/")).code, "404")
      assert.strictEqual((yield* curl(socket, "http://localhost/rpc")).code, "405")
      assert.strictEqual((yield* curl(socket, "--data", "{}", `${ADMIN}/GetStatus`)).code, "415")
    })
  )

  it.live("survives requests that are none", () =>
    Effect.gen(function* () {
      const { socket } = yield* startStub({ getStatus: () => Effect.succeed(STATUS) })
      const head =
        "POST /mc_proxy.v1.ProxyAdminService/GetStatus HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n"
      for (const bytes of [
        "nonsense\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nnonsense that is long enough to be no frame of HTTP/2",
        "P\r\n\r\n",
        `${head}host: [\r\n\r\n`,
        `${head}\r\n`.replace("HTTP/1.1", "HTTP/1.0"),
        "CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n"
      ]) {
        const raw = yield* rawConnection(socket)
        raw.write(bytes)
        yield* ended(raw)
      }
      const silent = yield* rawConnection(socket)
      silent.end()
      yield* ended(silent)
      const client = yield* connectClient(socket)
      assert.deepInclude(yield* callUnary(client, adminMethod("GetStatus"), {}), { version: "1.2.3" })
    })
  )
})

describe("a connection to the admin server", () => {
  it.live("ends when it asks nothing, or nothing whole, for too long", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startStub({}, { idleTimeoutMs: 100 })
      const unfinished = [
        "",
        "PR",
        "POST /rpc HTTP/1.1\r\n",
        "POST /rpc HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
      ]
      for (const bytes of unfinished) {
        const raw = yield* rawConnection(socket)
        raw.write(bytes)
        yield* ended(raw)
      }
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("lasts while a call is answered, however long that takes", () =>
    Effect.gen(function* () {
      const began = yield* Queue.unbounded<void>()
      const answer = yield* Deferred.make<void>()
      const { socket } = yield* startStub(
        {
          getStatus: () => Queue.offer(began, undefined).pipe(Effect.andThen(Deferred.await(answer)), Effect.as(STATUS))
        },
        { idleTimeoutMs: 100 }
      )
      const client = yield* connectClient(socket)
      const http2Call = yield* Effect.forkChild(callUnary(client, adminMethod("GetStatus"), {}))
      const http1Call = yield* Effect.forkChild(curlStatus(socket, "--http1.1"))
      for (let i = 0; i < 2; i++) yield* Queue.take(began)
      // Two who ask nothing, one after the other, show that the time has passed.
      for (let i = 0; i < 2; i++) yield* ended(yield* rawConnection(socket))
      yield* Deferred.succeed(answer, undefined)
      assert.deepInclude(yield* Fiber.join(http2Call), { version: "1.2.3" })
      assert.strictEqual((yield* Fiber.join(http1Call)).code, "200")
    })
  )
})

describe("when the admin server closes", () => {
  it.live("running calls are answered, streams end, and nobody new is let in", () =>
    Effect.gen(function* () {
      const began = yield* Queue.unbounded<void>()
      const answer = yield* Deferred.make<void>()
      const { close, socket } = yield* startStub({
        getStatus: () => Queue.offer(began, undefined).pipe(Effect.andThen(Deferred.await(answer)), Effect.as(STATUS)),
        watchConnections: () => Stream.concat(Stream.succeed(dropped(1)), Stream.never)
      })
      const client = yield* connectClient(socket)
      const idle = yield* rawConnection(socket)
      const events = openStream(client, adminMethod("WatchConnections"), {})
      const health = openStream(client, methodOf("grpc.health.v1.Health", "Watch"), {})
      for (const stream of [events, health]) yield* nextOf(stream)
      const grpcCall = yield* Effect.forkChild(callUnary(client, adminMethod("GetStatus"), {}))
      const curlCall = yield* Effect.forkChild(curlStatus(socket))
      const rpcCall = yield* Effect.forkChild(rpc(socket, (admin) => admin.getStatus({})))
      for (let i = 0; i < 3; i++) yield* Queue.take(began)

      const closing = yield* Effect.forkChild(close)
      for (const stream of [events, health]) {
        const { code, details } = yield* Effect.flip(nextOf(stream))
        assert.deepStrictEqual([code, details], [status.UNAVAILABLE, "the admin server is closing"])
      }
      yield* ended(idle)
      assert.strictEqual(lstatSync(socket, { throwIfNoEntry: false }), undefined)
      yield* Deferred.succeed(answer, undefined)
      assert.deepInclude(yield* Fiber.join(grpcCall), { version: "1.2.3" })
      assert.strictEqual((yield* Fiber.join(curlCall)).code, "200")
      assert.deepStrictEqual(yield* Fiber.join(rpcCall), STATUS)
      yield* Fiber.join(closing)
      const late = yield* Effect.flip(callUnary(client, adminMethod("GetStatus"), {}))
      assert.strictEqual(late.code, status.UNAVAILABLE)
    })
  )

  it.live("streams of Effect RPC end with the reason", () =>
    Effect.gen(function* () {
      const { close, socket } = yield* startStub({
        watchConnections: () => Stream.concat(Stream.succeed(dropped(1)), Stream.never)
      })
      const seen = yield* Deferred.make<void>()
      const watch = yield* rpc(socket, (admin) =>
        Stream.runForEach(admin.watchConnections({}), () => Deferred.succeed(seen, undefined))
      ).pipe(Effect.flip, Effect.forkChild)
      yield* Deferred.await(seen)
      yield* close
      const { _tag, message } = yield* Fiber.join(watch)
      assert.deepStrictEqual([_tag, message], ["Unavailable", "the admin server is closing"])
    })
  )

  it.live("requests that are not whole are cut at once, and calls that do not end are interrupted", () =>
    Effect.gen(function* () {
      const began = yield* Queue.unbounded<void>()
      const interrupted = yield* Queue.unbounded<void>()
      const endless = Queue.offer(began, undefined).pipe(
        Effect.andThen(Effect.never),
        Effect.onInterrupt(() => Queue.offer(interrupted, undefined))
      )
      const { close, socket } = yield* startStub({ reload: () => endless }, { finishTimeoutMs: 200 })
      const client = yield* connectClient(socket)
      const half = yield* rawConnection(socket)
      half.write("POST /rpc HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf")
      const grpcCall = yield* Effect.forkChild(Effect.flip(callUnary(client, adminMethod("Reload"), {})))
      const rpcCall = yield* Effect.forkChild(Effect.flip(rpc(socket, (admin) => admin.reload({}))))
      for (let i = 0; i < 2; i++) yield* Queue.take(began)
      const closing = yield* Effect.forkChild(close)
      yield* ended(half)
      for (let i = 0; i < 2; i++) yield* Queue.take(interrupted)
      assert.strictEqual((yield* Fiber.join(grpcCall)).code, status.UNAVAILABLE)
      assert.strictEqual((yield* Fiber.join(rpcCall))._tag, "AdminUnreachable")
      yield* Fiber.join(closing)
    })
  )
})
