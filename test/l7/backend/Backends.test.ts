/** What every kind of backend is asked and answers, against Node's own servers. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import type { IncomingMessage } from "node:http"
import type { ServerHttp2Stream } from "node:http2"
import { connect, createServer, type Socket } from "node:net"
import { fieldOf } from "../../../src/l7/Fields.ts"
import { INTERIM_BYTES_MAX } from "../../../src/l7/backend/PendingRequest.ts"
import { DescriptorBudget } from "../../../src/net/DescriptorBudget.ts"
import { ask, head, KINDS, NAME, listenOn, poolTo, routeTo, send, startBackend, takeAll, until, live } from "./World.ts"

const bodyOf = (request: IncomingMessage): Promise<Buffer> =>
  new Promise((resolve) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => resolve(Buffer.concat(chunks)))
  })

/** So many interim heads with it are all that one request may have. */
const INTERIM_MAX = 16
/** 64 bytes for the head, 32 for the field, 4 for its name. */
const LINK = `</${"a".repeat(INTERIM_BYTES_MAX / INTERIM_MAX - 64 - 32 - 4 - "</>; rel=preload".length)}>; rel=preload`

for (const kind of KINDS) {
  describe(kind.name, () => {
    live(
      "passes a request's head and the response's, with its body",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (request, response) => {
          response.setHeader("x-seen", [`${request.method} ${request.url}`, String(request.headers["x-one"])])
          response.setHeader("x-host", String(request.headers[":authority"] ?? request.headers.host))
          response.statusCode = 418
          response.end("tea")
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const answer = yield* ask(pool, head({ path: "/a?b=c", authority: `${NAME}:8443`, fields: ["x-one", "1"] }))
        assert.strictEqual(answer.status, 418)
        assert.strictEqual(answer.body?.toString(), "tea")
        assert.isTrue(answer.isWhole)
        assert.strictEqual(fieldOf(answer.fields, "x-seen"), "GET /a?b=c")
        assert.include(answer.fields, "1")
        assert.strictEqual(fieldOf(answer.fields, "x-host"), `${NAME}:8443`)
        assert.isUndefined(fieldOf(answer.fields, "connection"))
      })
    )

    live(
      "streams a large body both ways, with trailers",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (request, response) => {
          response.setHeader("trailer", "x-sum")
          response.writeHead(200)
          request.pipe(response, { end: false })
          request.on("end", () => {
            response.addTrailers({ "x-sum": String(request.trailers["x-in"]) })
            response.end()
          })
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const body = Buffer.alloc(5_000_000, "0123456789")
        const answer = yield* ask(pool, head({ method: "POST", hasBody: true }), body, ["x-in", "42"])
        assert.isTrue(answer.body?.equals(body))
        assert.deepStrictEqual(answer.trailers, ["x-sum", "42"])
      })
    )

    live(
      "passes fields and trailers of any name, and as often as they came",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (request, response) => {
          void bodyOf(request).then(() => response.end(JSON.stringify([request.rawHeaders, request.rawTrailers])))
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const fields = ["user-agent", "a", "user-agent", "b", "constructor", "c"]
        const trailers = ["constructor", "1", "__proto__", "2", "age", "3", "age", "4"]
        const answer = yield* ask(pool, head({ method: "POST", hasBody: true, fields }), Buffer.from("x"), trailers)
        const [seenFields, seenTrailers] = JSON.parse(String(answer.body)) as [Array<string>, Array<string>]
        const first = seenFields.indexOf("user-agent")
        assert.deepStrictEqual(seenFields.slice(first, first + fields.length), fields)
        assert.deepStrictEqual(seenTrailers, trailers)
      })
    )

    live(
      "sends a body of known length as such",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (request, response) => {
          void bodyOf(request).then((bytes) => {
            const { "content-length": length = "none", "transfer-encoding": coding = "none" } = request.headers
            response.end(`${length} ${coding} ${bytes.length}`)
          })
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const known = { method: "POST", hasBody: true, contentLength: 5, fields: ["content-length", "5"] }
        const answer = yield* ask(pool, head(known), Buffer.from("12345"))
        assert.strictEqual(answer.body?.toString(), "5 none 5")
      })
    )

    live(
      "has no body where there can be none",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (request, response) => {
          response.statusCode = Number(request.url?.slice(1))
          if (request.method === "HEAD") response.setHeader("content-length", "1000")
          response.end()
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        for (const [method, path, length] of [
          ["HEAD", "/200", "1000"],
          ["GET", "/204", undefined],
          ["GET", "/304", undefined]
        ] as const) {
          const answer = yield* ask(pool, head({ method, path }))
          assert.deepStrictEqual(
            [answer.status, answer.body, fieldOf(answer.fields, "content-length")],
            [Number(path.slice(1)), undefined, length]
          )
        }
        assert.strictEqual(backend.accepted(), 1)
      })
    )

    live(
      "passes interim responses on, before the final one",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (_request, response) => {
          response.writeEarlyHints({ link: "</a>; rel=preload" })
          response.end("done")
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const answer = yield* ask(pool)
        assert.deepStrictEqual(answer.interim, [{ status: 103, fields: ["link", "</a>; rel=preload"] }])
        assert.strictEqual(answer.status, 200)
      })
    )

    for (const [name, count, isTaken] of [
      ["takes as many interim responses as one request may have", INTERIM_MAX, true],
      ["gives up on a backend that has one interim response more", INTERIM_MAX + 1, false]
    ] as const) {
      live(
        name,
        Effect.gen(function* () {
          let closed = 0
          const backend = yield* startBackend(kind, (_request, response) => {
            response.on("close", () => closed++)
            for (let i = 0; i < count; i++) response.writeEarlyHints({ link: LINK })
            if (isTaken) response.end("done")
          })
          const pool = yield* poolTo(yield* routeTo(backend.port, kind))
          const interim: Array<number> = []
          const answer = yield* Effect.result(
            Effect.scoped(
              Effect.flatMap(
                send(pool, head(), ({ status }) => interim.push(status)),
                ({ response }) => response
              )
            )
          )
          assert.deepStrictEqual(
            answer._tag === "Success"
              ? answer.success.status
              : [answer.failure._tag, answer.failure.unprocessed, answer.failure.reason],
            isTaken ? 200 : ["unavailable", false, "more 1xx responses than one request may have"]
          )
          assert.strictEqual(interim.length, INTERIM_MAX)
          // Cancelled or not, nothing of it is left.
          yield* until(() => closed === 1)
        })
      )
    }

    live(
      "uses a connection again, and gives all back with the layer",
      Effect.gen(function* () {
        const budget = yield* DescriptorBudget
        const backend = yield* startBackend(kind, (_request, response) => void response.end("x"))
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        for (let i = 0; i < 50; i++) assert.strictEqual((yield* ask(pool)).status, 200)
        assert.strictEqual(backend.accepted(), 1)
        // The client's own, and the one that is kept.
        assert.strictEqual(budget.open, 2)
      })
    )

    live(
      "answers a thousand requests at a time",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (request, response) => void response.end(request.url))
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const paths = Array.from({ length: 1000 }, (_, i) => `/${i}`)
        const answers = yield* Effect.forEach(paths, (path) => ask(pool, head({ path })), { concurrency: 1000 })
        assert.deepStrictEqual(
          answers.map(({ body }) => body?.toString()),
          paths
        )
      }),
      // A machine that is busy otherwise takes its time for a thousand handshakes.
      15_000
    )

    live(
      "tells the backend at once when a request is cancelled, before its response and within",
      Effect.gen(function* () {
        let begun = 0
        let ended = 0
        const backend = yield* startBackend(kind, (request, response) => {
          begun++
          response.on("close", () => ended++)
          if (request.url === "/within") response.write("some")
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        for (const path of ["/before", "/within"]) {
          const scope = yield* Scope.make()
          const sent = yield* Scope.provide(send(pool, head({ path })), scope)
          if (path === "/within") yield* sent.response
          yield* until(() => begun > ended)
          yield* Scope.close(scope, Exit.void)
          yield* until(() => begun === ended)
        }
        assert.strictEqual(begun, 2)
      })
    )

    live(
      "shows a response that breaks off as broken",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (request, response) => {
          response.write("half", () => setImmediate(() => request.socket.destroy()))
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const answer = yield* ask(pool)
        assert.deepStrictEqual([answer.body?.toString(), answer.isWhole], ["half", false])
      })
    )

    live(
      "is unavailable when the backend closes without a word, and not told to be unprocessed",
      Effect.gen(function* () {
        const backend = yield* startBackend(kind, (request) => void request.socket.destroy())
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const failed = yield* Effect.flip(ask(pool))
        assert.deepStrictEqual([failed._tag, failed.unprocessed], ["unavailable", false])
      })
    )

    live(
      "is unavailable where nobody listens, and timed out where nobody answers",
      Effect.gen(function* () {
        const gone = yield* Effect.scoped(listenOn(createServer()))
        const refused = yield* Effect.flip(ask(yield* poolTo(yield* routeTo(gone.port, kind))))
        assert.strictEqual(refused._tag, "unavailable")
        if (kind.name === "HTTP/1.1") return
        const silent = yield* listenOn(createServer((socket) => void socket.resume()))
        const late = yield* Effect.flip(ask(yield* poolTo(yield* routeTo(silent.port, kind))))
        assert.strictEqual(late._tag, "timed_out")
        yield* until(() => silent.sockets.size === 0)
      })
    )

    live(
      "leaves nothing of five hundred requests that were cancelled at any moment",
      Effect.gen(function* () {
        const budget = yield* DescriptorBudget
        const running = new Set<unknown>()
        const backend = yield* startBackend(kind, (_request, response) => {
          running.add(response)
          response.on("close", () => running.delete(response))
          response.write("some")
          setImmediate(() => response.end("more"))
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        yield* Effect.forEach(
          Array.from({ length: 500 }, (_, i) => i),
          Effect.fnUntraced(function* (i) {
            const fiber = yield* Effect.forkChild(Effect.exit(ask(pool)), { startImmediately: true })
            for (let turn = 0; turn < i % 12; turn++) yield* Effect.promise(() => new Promise(setImmediate))
            yield* Fiber.interrupt(fiber)
          }),
          { concurrency: 20 }
        )
        yield* until(() => running.size === 0)
        assert.strictEqual((yield* ask(pool)).body?.toString(), "somemore")
        assert.isAtMost(budget.open, 25)
      })
    )

    live(
      "accepts a WebSocket, and carries bytes both ways",
      Effect.gen(function* () {
        const backend = yield* startBackend(
          kind,
          () => {},
          (server) => {
            // One listener more would have the compatible API answer.
            server.removeAllListeners("stream")
            server.on("upgrade", (_request: IncomingMessage, socket: Socket) => {
              socket.write(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
                  "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
              )
              socket.pipe(socket)
            })
            server.on("stream", (stream: ServerHttp2Stream, headers: Record<string, string>) => {
              if (headers[":protocol"] !== "websocket") return
              stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" })
              stream.pipe(stream)
            })
          }
        )
        const pool = yield* poolTo(yield* routeTo(backend.port, kind))
        const fields = ["sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version", "13"]
        const sent = yield* send(pool, head({ isWebSocket: true, hasBody: true, fields }))
        const response = yield* sent.response
        assert.isTrue(pool.takesWebSockets)
        assert.deepStrictEqual([response.status, fieldOf(response.fields, "sec-websocket-protocol")], [200, "chat"])
        assert.isUndefined(fieldOf(response.fields, "sec-websocket-accept"))
        response.upgraded?.writable.write("hello")
        response.upgraded?.end([])
        assert(response.body !== undefined)
        const { bytes, isWhole } = yield* takeAll(response.body.readable)
        assert.deepStrictEqual([bytes.toString(), isWhole], ["hello", true])
      })
    )
  })
}

describe("a backend of the wrong kind", () => {
  live(
    "is unavailable when it does not speak HTTP/2",
    Effect.gen(function* () {
      for (const tls of [false, true]) {
        const backend = yield* startBackend({ name: "", protocol: "http/1.1", tls }, (_request, response) => {
          response.end()
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, { name: "", protocol: "h2", tls }))
        const failed = yield* Effect.flip(ask(pool))
        assert.strictEqual(failed._tag, "unavailable")
        yield* until(() => backend.sockets.size === 0)
      }
    })
  )

  live(
    "is dialled again for who asks as soon as it has failed",
    Effect.gen(function* () {
      const backend = yield* listenOn(createServer((socket) => void socket.end()))
      const pool = yield* poolTo(yield* routeTo(backend.port, { name: "", protocol: "h2", tls: false }))
      for (let i = 0; i < 3; i++) assert.strictEqual((yield* Effect.flip(ask(pool)))._tag, "unavailable")
      yield* until(() => backend.accepted() === 3)
    })
  )

  live(
    "is unavailable when its certificate is for another name, or of nobody who is trusted",
    Effect.gen(function* () {
      for (const kind of KINDS.filter(({ tls }) => tls)) {
        const backend = yield* startBackend(kind, (_request, response) => void response.end())
        for (const options of [{ backendServerName: "other.test" }, { backendCa: "" }]) {
          const failed = yield* Effect.flip(ask(yield* poolTo(yield* routeTo(backend.port, kind, options))))
          assert.strictEqual(failed._tag, "unavailable")
          assert.match(failed.reason, /^TLS: /)
        }
      }
    })
  )
})

describe("a pool", () => {
  live(
    "of a route with a PROXY header is one client's, and ends with it",
    Effect.gen(function* () {
      const kind = KINDS[0]!
      const heads: Array<string> = []
      const errors: Array<string> = []
      const inner = yield* startBackend(kind, (_request, response) => void response.end("x"))
      // Takes the header off, as a backend would.
      const outer = yield* listenOn(
        createServer((socket) => {
          socket.once("data", (bytes: Buffer) => {
            const length = 16 + bytes.readUInt16BE(14)
            heads.push(bytes.subarray(0, length).toString("latin1"))
            const target = connect(inner.port, "127.0.0.1")
            target.write(bytes.subarray(length))
            socket.pipe(target).pipe(socket)
            target.on("error", () => {})
            socket.on("error", ({ message }) => errors.push(message)).on("close", () => target.destroy())
          })
        })
      )
      const route = yield* routeTo(outer.port, kind, { sendProxyProtocol: true })
      for (let i = 0; i < 2; i++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const pool = yield* poolTo(route)
            for (let j = 0; j < 3; j++) assert.strictEqual((yield* ask(pool)).body?.toString(), "x")
          })
        )
        yield* until(() => outer.sockets.size === 0)
      }
      assert.strictEqual(heads.length, 2)
      for (const text of heads) assert.include(text, NAME)
      assert.deepStrictEqual(errors, [], "nothing is reset that was idle")
    })
  )

  live(
    "of other routes is shared between clients",
    Effect.gen(function* () {
      const kind = KINDS[2]!
      const backend = yield* startBackend(kind, (_request, response) => void response.end("x"))
      const route = yield* routeTo(backend.port, kind)
      for (let i = 0; i < 3; i++) yield* Effect.scoped(Effect.flatMap(poolTo(route), (pool) => ask(pool)))
      assert.strictEqual(backend.accepted(), 1)
    })
  )
})
