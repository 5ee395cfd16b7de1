/** What a backend of HTTP/1.1 may say, byte by byte, and what becomes of the connection. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Scope } from "effect"
import { createServer, type Socket } from "node:net"
import { fieldOf } from "../../../src/l7/Fields.ts"
import { ask, head, KINDS, listenOn, live, poolTo, routeTo, send, startBackend, turn, until } from "./World.ts"

const KIND = KINDS[0]!

/** A backend that says `answer` to each head, and then does what `after` says. */
const scripted = (answer: (request: string) => string, after: (socket: Socket) => void = () => {}) =>
  listenOn(
    createServer((socket) => {
      socket.on("data", (bytes: Buffer) => {
        if (bytes.includes("HTTP/1.1\r\n"))
          socket.write(answer(bytes.toString("latin1")), "latin1", () => after(socket))
      })
    })
  )

const poolOf = Effect.fnUntraced(function* (backend: Effect.Effect<{ readonly port: number }, never, Scope.Scope>) {
  return yield* poolTo(yield* routeTo((yield* backend).port, KIND))
})

const OK = "HTTP/1.1 200 OK\r\n"

describe("a head that no two readers would understand alike", () => {
  const heads: ReadonlyArray<readonly [string, string]> = [
    ["is no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    ["has two lengths", `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nxx`],
    ["has a length and chunks", `${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`],
    ["has a length that is no number", `${OK}content-length: 1x\r\n\r\nx`],
    ["has a space before a colon", `${OK}content-length : 0\r\n\r\n`],
    ["has a NUL in a value", `${OK}x: a\0b\r\ncontent-length: 0\r\n\r\n`],
    ["has a lone CR in a value", `${OK}x: a\rb\r\ncontent-length: 0\r\n\r\n`],
    ["has a coding that was not asked for", `${OK}transfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`],
    ["has a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"],
    ["is longer than 64 KiB", `${OK}x: ${"y".repeat(65_536)}\r\ncontent-length: 0\r\n\r\n`],
    ["is a 101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"]
  ]
  for (const [name, answer] of heads) {
    live(
      `is no response when it ${name}`,
      Effect.gen(function* () {
        const backend = yield* scripted(() => answer)
        const failed = yield* Effect.flip(ask(yield* poolTo(yield* routeTo(backend.port, KIND))))
        assert.deepStrictEqual([failed._tag, failed.unprocessed], ["unavailable", false])
        yield* until(() => backend.sockets.size === 0)
      })
    )
  }
})

describe("a body", () => {
  const bodies: ReadonlyArray<readonly [string, string, ((socket: Socket) => void) | undefined, string, boolean]> = [
    ["of no stated length ends with the connection", `${OK}\r\nabc`, (socket) => socket.end(), "abc", true],
    ["of HTTP/1.0 ends with the connection", "HTTP/1.0 200 OK\r\n\r\nabc", (socket) => socket.end(), "abc", true],
    ["shorter than its length is broken", `${OK}content-length: 5\r\n\r\nabc`, (socket) => socket.end(), "abc", false],
    [
      "without its last chunk is broken",
      `${OK}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`,
      (socket) => socket.end(),
      "abc",
      false
    ],
    [
      "with a chunk of no size that came with the head is broken before anybody reads it",
      `${OK}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nz\r\n`,
      undefined,
      "",
      false
    ]
  ]
  for (const [name, answer, after, body, isWhole] of bodies) {
    live(
      name,
      Effect.gen(function* () {
        const taken = yield* ask(yield* poolOf(scripted(() => answer, after)))
        assert.deepStrictEqual([taken.body?.toString(), taken.isWhole], [body, isWhole])
      })
    )
  }

  live(
    "that a reset cuts off is broken",
    Effect.gen(function* () {
      const backend = yield* scripted(() => `${OK}\r\nabc`)
      const asked = yield* Effect.forkChild(ask(yield* poolTo(yield* routeTo(backend.port, KIND))))
      yield* until(() => backend.sockets.size === 1)
      for (let i = 0; i < 20; i++) yield* turn
      for (const socket of backend.sockets) socket.resetAndDestroy()
      const exit = yield* Effect.result(Fiber.join(asked))
      assert.isFalse(exit._tag === "Success" && exit.success.isWhole)
    })
  )
})

describe("a request without a body", () => {
  for (const [method, length] of [
    ["GET", undefined],
    ["DELETE", undefined],
    ["POST", "0"],
    ["PUT", "0"],
    ["PROPFIND", "0"]
  ] as const) {
    live(
      `has ${length === undefined ? "no length" : `a length of ${length}`} and no chunks where it is ${method}`,
      Effect.gen(function* () {
        let seen = ""
        const backend = yield* scripted((request) => {
          seen = request
          return `${OK}content-length: 0\r\n\r\n`
        })
        yield* ask(yield* poolTo(yield* routeTo(backend.port, KIND)), head({ method }))
        assert.strictEqual(/content-length: (.*)\r\n/i.exec(seen)?.[1], length)
        assert.isTrue(seen.endsWith("\r\n\r\n"))
        assert.notMatch(seen, /chunked/)
      })
    )
  }
})

describe("a method", () => {
  for (const [method, seen] of [
    ["M-SEARCH", "M-SEARCH"],
    ["get", undefined],
    ["PATCh", undefined]
  ] as const) {
    live(
      `${seen === undefined ? "that would be changed is not sent" : "is sent as it is"} where it is ${method}`,
      Effect.gen(function* () {
        const lines: Array<string> = []
        const backend = yield* scripted((request) => {
          lines.push(request.slice(0, request.indexOf(" ")))
          return `${OK}content-length: 0\r\n\r\n`
        })
        const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
        const answer = yield* Effect.result(ask(pool, head({ method })))
        assert.strictEqual(answer._tag === "Failure" && answer.failure._tag, seen === undefined && "unsupported")
        // The connection is as good as before.
        yield* ask(pool)
        assert.deepStrictEqual(lines, seen === undefined ? ["GET"] : [seen, "GET"])
        assert.strictEqual(backend.accepted(), 1)
      })
    )
  }
})

describe("a connection", () => {
  const notAgain: ReadonlyArray<readonly [string, string]> = [
    ["says that it closes", `${OK}connection: close\r\ncontent-length: 1\r\n\r\nx`],
    ["is of HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"],
    ["says more than was asked", `${OK}content-length: 1\r\n\r\nx${OK}content-length: 1\r\n\r\ny`]
  ]
  for (const [name, answer] of notAgain) {
    live(
      `is not used again when it ${name}`,
      Effect.gen(function* () {
        const backend = yield* scripted(() => answer)
        const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
        for (let i = 1; i <= 3; i++) {
          assert.strictEqual((yield* ask(pool)).body?.toString(), "x")
          assert.strictEqual(backend.accepted(), i)
        }
      })
    )
  }

  live(
    "that its backend closes while it is idle is not used again",
    Effect.gen(function* () {
      const backend = yield* scripted(() => `${OK}content-length: 1\r\n\r\nx`)
      const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
      for (let i = 1; i <= 3; i++) {
        yield* ask(pool)
        for (const socket of backend.sockets) socket.end()
        yield* until(() => backend.sockets.size === 0)
        assert.strictEqual(backend.accepted(), i)
      }
    })
  )

  live(
    "that its backend keeps for no more than a second is not kept",
    Effect.gen(function* () {
      const backend = yield* scripted(() => `${OK}keep-alive: timeout=1\r\ncontent-length: 1\r\n\r\nx`)
      const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
      yield* ask(pool)
      yield* until(() => backend.sockets.size === 0)
    })
  )

  live(
    "takes a response that comes before the request's body, and is not used again",
    Effect.gen(function* () {
      const backend = yield* scripted(() => `${OK}content-length: 3\r\n\r\nno!`)
      const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
      for (let i = 1; i <= 2; i++) {
        const response = yield* Effect.scoped(
          Effect.gen(function* () {
            const sent = yield* send(pool, head({ method: "POST", hasBody: true }))
            return yield* sent.response
          })
        )
        assert.strictEqual(response.status, 200)
        yield* until(() => backend.sockets.size === 0)
        assert.strictEqual(backend.accepted(), i)
      }
    })
  )

  live(
    "sends the head before there is a body, for a backend that answers 100",
    Effect.gen(function* () {
      const backend = yield* startBackend(KIND, (request, response) => {
        request.resume().on("end", () => response.end("got it"))
      })
      const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
      const interim: Array<number> = []
      const answer = yield* Effect.scoped(
        Effect.gen(function* () {
          const fields = ["expect", "100-continue", "content-length", "4"]
          const sent = yield* send(
            pool,
            head({ method: "POST", hasBody: true, contentLength: 4, fields }),
            ({ status }) => interim.push(status)
          )
          yield* until(() => interim.length > 0)
          sent.body?.writable.write("body")
          sent.body?.end([])
          return yield* sent.response
        })
      )
      assert.deepStrictEqual([interim, answer.status], [[100], 200])
    })
  )

  live(
    "passes hundreds of fields on",
    Effect.gen(function* () {
      const cookies = Array.from({ length: 1_500 }, (_, i) => `set-cookie: a${i}=b\r\n`).join("")
      const answer = yield* ask(yield* poolOf(scripted(() => `${OK}${cookies}content-length: 0\r\n\r\n`)))
      assert.strictEqual(answer.fields.filter((field) => field === "set-cookie").length, 1_500)
    })
  )
})

describe("a WebSocket's handshake", () => {
  const upgrade = (accept: string): string =>
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n${accept}\r\n`
  const fields = ["sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version", "13"]

  for (const [name, accept] of [
    ["does not fit its key", "sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"],
    ["has no accept", ""]
  ] as const) {
    live(
      `is refused when it ${name}`,
      Effect.gen(function* () {
        const backend = yield* scripted(() => upgrade(accept))
        const pool = yield* poolTo(yield* routeTo(backend.port, KIND))
        const failed = yield* Effect.flip(ask(pool, head({ isWebSocket: true, hasBody: true, fields })))
        assert.strictEqual(failed._tag, "unavailable")
        yield* until(() => backend.sockets.size === 0)
      })
    )
  }

  live(
    "has a key where the client's side has none",
    Effect.gen(function* () {
      let request = ""
      const pool = yield* poolOf(
        scripted((text) => {
          request = text
          return `HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno`
        })
      )
      const answer = yield* ask(pool, head({ isWebSocket: true, hasBody: true }))
      assert.deepStrictEqual([answer.status, answer.body?.toString()], [403, "no"])
      assert.match(request, /\r\nsec-websocket-key: [A-Za-z0-9+/]{22}==\r\n/)
      assert.match(request, /\r\nsec-websocket-version: 13\r\n/)
      assert.match(request, /\r\nconnection: Upgrade\r\n/)
      assert.isUndefined(fieldOf(answer.fields, "content-type"))
    })
  )
})
