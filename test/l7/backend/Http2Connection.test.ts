/** What a backend of HTTP/2 does with its streams and its connection, and what becomes of the requests. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { constants, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2"
import { connect, createServer, type Server } from "node:net"
import { PassThrough } from "node:stream"
import { vi } from "vitest"
import type { OpenBackend } from "../../../src/l7/backend/BackendDial.ts"
import type { BackendPool } from "../../../src/l7/backend/Backends.ts"
import { openHttp2 } from "../../../src/l7/backend/Http2Connection.ts"
import { PendingRequest } from "../../../src/l7/backend/PendingRequest.ts"
import { FakeConnection } from "../../pipeline/FakeConnection.ts"
import { FLAG, frame, framesOf, headers, resetStream, TYPE, type Frame } from "../Http2Frames.ts"
import {
  ask,
  CLIENT,
  head,
  KINDS,
  listenOn,
  live,
  poolTo,
  routeTo,
  send,
  startBackend,
  takeAll,
  turn,
  until
} from "./World.ts"

const KIND = KINDS[2]!

/** A backend whose streams `serve` answers. */
const streaming = (
  serve: (stream: ServerHttp2Stream, path: string) => void,
  adjust: (server: Server) => void = () => {}
) =>
  startBackend(
    KIND,
    () => {},
    (server) => {
      server.removeAllListeners("stream")
      server.on("stream", (stream: ServerHttp2Stream, headers: Record<string, string>) => {
        stream.on("error", () => {})
        serve(stream, headers[":path"] ?? "")
      })
      server.on("session", (session: ServerHttp2Session) => session.on("error", () => {}))
      adjust(server)
    }
  )

const poolFor = (serve: (stream: ServerHttp2Stream, path: string) => void) =>
  Effect.gen(function* () {
    const backend = yield* streaming(serve)
    return { backend, pool: yield* poolTo(yield* routeTo(backend.port, KIND)) }
  })

/** As many requests at a time as there are. */
const askAll = (pool: BackendPool, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => `/${i}`),
    (path) => Effect.result(ask(pool, head({ path }))),
    { concurrency: "unbounded" }
  )

const isHead = ({ type }: Frame): boolean => type === TYPE.headers

live(
  "takes a request back in the moment in which its connection is ready",
  Effect.gen(function* () {
    const { pool } = yield* poolFor((stream) => stream.respond({ ":status": 204 }, { endStream: true }))
    const upload = head({ method: "POST", hasBody: true })
    // What waits for a connection goes on while that reads the backend's SETTINGS.
    yield* Effect.scoped(send(pool, upload))
    assert.strictEqual((yield* ask(pool)).status, 204)
  })
)

live(
  "is given up in the moment in which it is begun",
  Effect.gen(function* () {
    const connection = new FakeConnection({ wait: () => Effect.never }, undefined, CLIENT.destination)
    const opened: OpenBackend = { connection, duplex: new PassThrough(), scheme: "http" }
    const owner = { freed: () => {}, ended: () => {} }
    const opening = yield* Effect.forkChild(openHttp2(opened, owner, 1_000), { startImmediately: true })
    yield* Fiber.interrupt(opening)
    // Node calls back for what was begun. What throws there ends the process.
    yield* until(() => opened.duplex.destroyed)
  })
)

/** A connection on which a request waits and nothing comes, minutes that pass at will, and how many PINGs there were. */
const silence = Effect.gen(function* () {
  let pings = 0
  let isEnded = false
  const backend = yield* startBackend(
    KIND,
    () => {},
    (server) => server.on("session", (session: ServerHttp2Session) => session.on("ping", () => pings++))
  )
  const socket = new FakeConnection({ wait: () => Effect.never }, undefined, CLIENT.destination)
  const duplex = connect(backend.port, "127.0.0.1")
  yield* Effect.addFinalizer(() => Effect.sync(() => duplex.destroy()))
  yield* Effect.acquireRelease(
    Effect.sync(() => vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] })),
    () => Effect.sync(() => vi.useRealTimers())
  )
  const owner = { freed: () => {}, ended: () => (isEnded = true) }
  const connection = yield* openHttp2({ connection: socket, duplex, scheme: "http" }, owner, 1_000)
  connection.send(new PendingRequest(head({ method: "POST", hasBody: true }), { interim: () => {}, sent: () => {} }))
  const minutesPass = (minutes: number) => Effect.sync(() => vi.advanceTimersByTime(minutes * 60_000))
  return { connection, minutesPass, socket, isEnded: () => isEnded, pings: () => pings }
})

live(
  "asks a backend that has been silent for minutes whether it is alive, and leaves one that does not answer",
  Effect.gen(function* () {
    const { minutesPass, pings, socket } = yield* silence
    yield* minutesPass(5)
    for (let i = 0; i < 20; i++) yield* turn
    assert.strictEqual(pings(), 0)
    yield* minutesPass(1)
    yield* until(() => pings() === 1)
    assert.strictEqual(socket.end, "open")
    yield* minutesPass(1)
    assert.strictEqual(socket.end, "reset")
  })
)

live(
  "asks nothing of a backend that goes in that moment",
  Effect.gen(function* () {
    const { connection, isEnded, minutesPass } = yield* silence
    yield* minutesPass(5)
    connection.destroy()
    // What throws there ends the process.
    yield* minutesPass(1)
    yield* until(isEnded)
  })
)

live(
  "does not end a WebSocket that it takes back",
  Effect.gen(function* () {
    const seen: Array<string> = []
    const { pool } = yield* poolFor((stream) => {
      stream.respond({ ":status": 200 })
      stream.on("data", (bytes: Buffer) => seen.push(bytes.toString()))
      // Node ends the body of a stream that was reset, too.
      stream.on("end", () => stream.rstCode === constants.NGHTTP2_NO_ERROR && seen.push("end"))
      stream.on("close", () => seen.push(`reset with ${stream.rstCode}`))
    })
    yield* Effect.scoped(
      Effect.gen(function* () {
        const sent = yield* send(pool, head({ isWebSocket: true, hasBody: true }))
        const { upgraded } = yield* sent.response
        upgraded?.writable.on("error", () => {}).write("half")
        yield* until(() => seen.length > 0)
      })
    )
    yield* until(() => seen.length > 1)
    assert.deepStrictEqual(seen, ["half", `reset with ${constants.NGHTTP2_CANCEL}`])
  })
)

live(
  "ends a request within whose body it is answered, a hundred times",
  Effect.gen(function* () {
    const { backend, pool } = yield* poolFor((stream) => {
      stream.once("data", () => stream.respond({ ":status": 200, "grpc-status": "8" }, { endStream: true }))
    })
    for (let i = 0; i < 100; i++) {
      // What the scope takes back is a stream that Node is reading for.
      const response = yield* Effect.scoped(
        Effect.gen(function* () {
          const sent = yield* send(pool, head({ method: "POST", hasBody: true }))
          sent.body?.writable.on("error", () => {}).write("enough")
          return yield* sent.response
        })
      )
      assert.strictEqual(response.status, 200)
    }
    assert.strictEqual(backend.accepted(), 1)
  })
)

live(
  "says how long a body is, unless the client asks for trailers, which may follow",
  Effect.gen(function* () {
    const { pool } = yield* poolFor((stream) => {
      stream.respond({ ":status": 200, "content-length": 3 }, { waitForTrailers: true })
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "7" }))
      stream.end("one")
    })
    for (const [fields, length, trailers] of [
      [[], 3, []],
      [["te", "trailers"], undefined, ["x-sum", "7"]]
    ] as const) {
      const { response } = yield* send(pool, head({ fields }))
      const { body } = yield* response
      assert(body !== undefined)
      assert.strictEqual(body.length, length)
      const { bytes, isWhole } = yield* takeAll(body.readable)
      assert.deepStrictEqual([bytes.toString(), isWhole, body.trailers()], ["one", true, trailers])
    }
  })
)

describe("a stream", () => {
  for (const [name, code, unprocessed] of [
    ["REFUSED_STREAM", constants.NGHTTP2_REFUSED_STREAM, true],
    ["INTERNAL_ERROR", constants.NGHTTP2_INTERNAL_ERROR, false],
    ["CANCEL", constants.NGHTTP2_CANCEL, false],
    ["NO_ERROR", constants.NGHTTP2_NO_ERROR, false]
  ] as const) {
    live(
      `that is reset with ${name} before its response ${unprocessed ? "proves" : "does not prove"} that nothing was done`,
      Effect.gen(function* () {
        const { backend, pool } = yield* poolFor((stream) => stream.close(code))
        const failed = yield* Effect.flip(ask(pool))
        assert.deepStrictEqual([failed._tag, failed.unprocessed], ["unavailable", unprocessed])
        assert.strictEqual(backend.sockets.size, 1)
      })
    )

    live(
      `that is reset with ${name} within its response is broken`,
      Effect.gen(function* () {
        // Node's own server would end the stream first.
        const backend = yield* listenOn(
          createServer((socket) => {
            let hasAnswered = false
            socket.write(frame(TYPE.settings, FLAG.none, 0))
            socket.on("data", (bytes: Buffer) => {
              const { stream } = framesOf(bytes.subarray(bytes.indexOf("PRI *") < 0 ? 0 : 24)).find(isHead) ?? {}
              if (stream === undefined || hasAnswered) return
              hasAnswered = true
              socket.write(headers(stream, [":status", "200"], FLAG.none))
              socket.write(frame(TYPE.data, FLAG.none, stream, Buffer.from("half")))
              socket.write(resetStream(stream, code))
            })
          })
        )
        const answer = yield* Effect.result(ask(yield* poolTo(yield* routeTo(backend.port, KIND))))
        assert.isFalse(answer._tag === "Success" && answer.success.isWhole)
      })
    )
  }

  live(
    "that is whole stays whole when it is reset behind its end",
    Effect.gen(function* () {
      const { pool } = yield* poolFor((stream) => {
        stream.respond({ ":status": 200 })
        stream.end("early", () => stream.close(constants.NGHTTP2_NO_ERROR))
      })
      const answer = yield* ask(pool, head({ method: "POST", hasBody: true }), Buffer.alloc(10_000_000))
      assert.deepStrictEqual([answer.body?.toString(), answer.isWhole], ["early", true])
    })
  )

  live(
    "of a status that allows no body has none, whatever the frames say",
    Effect.gen(function* () {
      const { pool } = yield* poolFor((stream) => {
        stream.respond({ ":status": 204 })
        stream.end()
      })
      assert.isUndefined((yield* ask(pool)).body)
    })
  )

  live(
    "may have as many fields as fit",
    Effect.gen(function* () {
      const cookies = Array.from({ length: 1_500 }, (_, i) => `a${i}`)
      const { pool } = yield* poolFor((stream) => {
        stream.respond({ ":status": 200, "set-cookie": cookies })
        stream.end()
      })
      assert.strictEqual((yield* ask(pool)).fields.filter((field) => field === "set-cookie").length, 1_500)
    })
  )

  live(
    "whose head is longer than 64 KiB is no response, and the connection is",
    Effect.gen(function* () {
      const { backend, pool } = yield* poolFor((stream, path) => {
        stream.respond({ ":status": 200, x: path === "/long" ? "y".repeat(66_000) : "" })
        stream.end("x")
      })
      // Our SETTINGS hold once the backend has acknowledged them.
      yield* ask(pool)
      const { _tag } = yield* Effect.flip(Effect.asVoid(ask(pool, head({ path: "/long" }))))
      assert.strictEqual(_tag, "unavailable")
      assert.strictEqual((yield* ask(pool)).body?.toString(), "x")
      assert.isAtMost(backend.accepted(), 2)
    })
  )
})

describe("a connection", () => {
  live(
    "that takes one request at a time has others beside it for those that came together",
    Effect.gen(function* () {
      let running = 0
      const backend = yield* streaming(
        () => running++,
        (server) => (server as Http2Server).updateSettings({ maxConcurrentStreams: 1 })
      )
      const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
      for (let i = 0; i < 4; i++) yield* Effect.forkChild(ask(pool))
      yield* until(() => running === 4)
      assert.strictEqual(backend.accepted(), 4)
    })
  )

  live(
    "takes as many requests as its backend's SETTINGS say, and others are dialled for the rest",
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const backend = yield* streaming(
        (stream) => {
          most = Math.max(most, ++running)
          stream.on("close", () => running--)
          stream.respond({ ":status": 200 })
          setImmediate(() => stream.end("x"))
        },
        (server) => {
          server.on("session", (session: ServerHttp2Session) => session.settings({ maxConcurrentStreams: 2 }))
        }
      )
      const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
      yield* ask(pool)
      const answers = yield* askAll(pool, 300)
      assert.isTrue(answers.every(({ _tag }) => _tag === "Success"))
      assert.isAtMost(most, 2 * backend.accepted())
      assert.isAtMost(backend.accepted(), 32)
    })
  )

  live(
    "that goes away finishes what runs, proves what it has not begun, and has a successor",
    Effect.gen(function* () {
      const streams: Array<ServerHttp2Stream> = []
      const backend = yield* streaming((stream, path) => {
        if (path === "/next") {
          stream.respond({ ":status": 200 })
          return void stream.end("next")
        }
        streams.push(stream)
      })
      const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
      const asked = yield* Effect.forkChild(askAll(pool, 3))
      yield* until(() => streams.length === 3)
      const first = streams[0]!
      first.session?.goaway(constants.NGHTTP2_NO_ERROR, first.id ?? 0)
      yield* until(() => first.session?.closed === true || streams.length === 3)
      for (let i = 0; i < 20; i++) yield* turn
      assert.strictEqual((yield* ask(pool, head({ path: "/next" }))).body?.toString(), "next")
      assert.strictEqual(backend.accepted(), 2)
      first.respond({ ":status": 200 })
      first.end("finished")
      const [finished, ...others] = yield* Fiber.join(asked)
      assert.strictEqual(finished?._tag === "Success" ? finished.success.body?.toString() : "", "finished")
      for (const other of others) {
        assert.deepStrictEqual(other._tag === "Failure" ? [other.failure._tag, other.failure.unprocessed] : [], [
          "unavailable",
          true
        ])
      }
      yield* until(() => backend.sockets.size === 1)
    })
  )

  live(
    "that goes away with an error breaks off what runs",
    Effect.gen(function* () {
      const { backend, pool } = yield* poolFor((stream) => {
        stream.session?.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM)
      })
      assert.strictEqual((yield* Effect.flip(ask(pool)))._tag, "unavailable")
      yield* until(() => backend.sockets.size === 0)
    })
  )

  live(
    "that its backend finishes leaves whole what has come, however late it is read",
    Effect.gen(function* () {
      const { backend, pool } = yield* poolFor((stream, path) => {
        stream.respond({ ":status": 200 })
        if (path === "/half") stream.write("half")
        else stream.end(Buffer.alloc(60_000, "x"))
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const [whole, half] = yield* Effect.all([
            Effect.flatMap(send(pool, head()), ({ response }) => response),
            Effect.flatMap(send(pool, head({ path: "/half" })), ({ response }) => response)
          ])
          assert(whole.body !== undefined && half.body !== undefined)
          for (const socket of backend.sockets) socket.end()
          const cut = yield* takeAll(half.body.readable)
          assert.isFalse(cut.isWhole)
          const { bytes, isWhole } = yield* takeAll(whole.body.readable)
          assert.deepStrictEqual([bytes.length, isWhole], [60_000, true])
        })
      )
      yield* until(() => backend.sockets.size === 0)
    })
  )

  live(
    "that is lost takes nothing more, and the next request has another",
    Effect.gen(function* () {
      const { backend, pool } = yield* poolFor((stream) => {
        stream.respond({ ":status": 200 })
        stream.end("x")
      })
      for (let i = 1; i <= 3; i++) {
        assert.strictEqual((yield* ask(pool)).body?.toString(), "x")
        for (const socket of backend.sockets) socket.resetAndDestroy()
        yield* until(() => backend.sockets.size === 0)
        for (let j = 0; j < 20; j++) yield* turn
        assert.strictEqual(backend.accepted(), i)
      }
    })
  )

  live(
    "tells of no WebSockets where its backend takes none",
    Effect.gen(function* () {
      const plain = yield* startBackend(
        { ...KIND },
        (_request, response) => void response.end("x"),
        () => {},
        false
      )
      const pool = yield* poolTo(yield* routeTo(plain.port, KIND))
      const failed = yield* Effect.flip(ask(pool, head({ isWebSocket: true, hasBody: true })))
      assert.strictEqual(failed._tag, "unsupported")
      assert.isFalse(pool.takesWebSockets)
    })
  )

  live(
    "slows a backend whose response is not read",
    Effect.gen(function* () {
      let sent = 0
      const { pool } = yield* poolFor((stream) => {
        stream.respond({ ":status": 200 })
        const chunk = Buffer.alloc(16_384)
        const more = (): void => {
          while (sent < 50_000_000) {
            sent += chunk.length
            if (!stream.write(chunk)) return void stream.once("drain", more)
          }
          stream.end()
        }
        more()
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const response = yield* Effect.flatMap(send(pool, head()), (request) => request.response)
          for (let i = 0; i < 200; i++) yield* turn
          assert.isBelow(sent, 1_000_000)
          assert(response.body !== undefined)
          const { bytes, isWhole } = yield* takeAll(response.body.readable)
          assert.isTrue(isWhole)
          assert.strictEqual(bytes.length, sent)
        })
      )
    })
  )
})
