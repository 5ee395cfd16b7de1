import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { PassThrough, Readable } from "node:stream"
import type { BackendFailed, BackendResponse } from "../../../src/l7/backend/Backends.ts"
import { acceptOf } from "../../../src/l7/WebSocketKey.ts"
import { bodyOf, FakePool, Sink, type Answer } from "../FakeExchange.ts"
import { HTTP1_REQUESTS } from "../HostileRequests.ts"
import { SERVER } from "../Requests.ts"
import { openWorld, Received, settle, TIMEOUTS, until } from "./ClientWorld.ts"

const answer = (changes: Partial<BackendResponse> = {}): Answer =>
  Effect.succeed({ status: 200, fields: [], body: undefined, upgraded: undefined, ...changes })

const NEVER: Answer = Effect.never

const open = Effect.fnUntraced(function* (...answers: ReadonlyArray<Answer>) {
  const pool = new FakePool(...answers)
  const world = yield* openWorld("http/1.1", pool)
  return { ...world, pool, received: new Received(world.client) }
})

const get = (path: string, ...more: ReadonlyArray<string>) =>
  [`GET ${path} HTTP/1.1`, `Host: ${SERVER}`, ...more, "", ""].join("\r\n")

const DATE = /^date: .*\r\n/gim

describe("a client of HTTP/1.1", () => {
  it.effect("is answered in the order of its requests, those sent ahead included, one at a time", () =>
    Effect.gen(function* () {
      const first = yield* Deferred.make<BackendResponse, BackendFailed>()
      const { client, pool, received } = yield* open(Deferred.await(first), answer({ status: 404 }))
      client.write(get("/1") + get("/2"))
      yield* until("the first request is sent", () => pool.sent.length === 1)
      yield* settle
      assert.strictEqual(pool.sent.length, 1)
      yield* Deferred.succeed(first, { status: 200, fields: [], body: bodyOf("one"), upgraded: undefined })
      yield* until("both are answered", () => received.text.includes("404"))
      assert.deepStrictEqual(
        pool.sent.map(({ path }) => path),
        ["/1", "/2"]
      )
      assert.strictEqual(
        received.text.replaceAll(DATE, ""),
        "HTTP/1.1 103 Early Hints\r\n\r\n" +
          "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n" +
          "HTTP/1.1 103 Early Hints\r\n\r\n" +
          "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nConnection: keep-alive\r\n\r\n"
      )
    })
  )

  it.effect("gets a body of known length as it is, and trailers behind one in chunks", () =>
    Effect.gen(function* () {
      const known = answer({ fields: ["content-length", "2"], body: bodyOf("ab") })
      const { client, received } = yield* open(known, answer({ body: bodyOf("cd", ["x-sum", "7"]) }))
      client.write(get("/1"))
      yield* until("the first is answered", () => received.text.endsWith("\r\n\r\nab"))
      assert.notInclude(received.text, "chunked")
      client.write(get("/2"))
      yield* until("the second is answered", () => received.text.endsWith("2\r\ncd\r\n0\r\nx-sum: 7\r\n\r\n"))
    })
  )

  it.effect("sends its body and trailers on as they come", () =>
    Effect.gen(function* () {
      const { client, pool } = yield* open(NEVER)
      client.write(
        `POST / HTTP/1.1\r\nHost: ${SERVER}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n`
      )
      yield* until("the body ends", () => pool.bodies[0]?.trailers !== undefined)
      yield* until("all of it has come", () => pool.bodies[0]?.text === "ab")
      assert.deepStrictEqual(pool.bodies[0]?.trailers, ["x-sum", "7"])
    })
  )

  it.effect("keeps its connection behind a `100 Continue` that it has waited for", () =>
    Effect.gen(function* () {
      const { client, pool, received } = yield* open(answer({ status: 204 }), answer({ status: 404 }))
      pool.interim = 100
      client.write(`PUT /1 HTTP/1.1\r\nHost: ${SERVER}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`)
      yield* until("it may go on", () => received.text.startsWith("HTTP/1.1 100 Continue\r\n\r\n"))
      client.write(`ab${get("/2")}`)
      yield* until("both are answered", () => received.text.includes(" 404 "))
      assert.notInclude(received.text.toLowerCase(), "connection: close")
    })
  )

  it.effect("gets no interim head, no chunks and no second answer in HTTP/1.0", () =>
    Effect.gen(function* () {
      const { client, connection, received } = yield* open(answer({ body: bodyOf("one") }))
      client.write(`GET / HTTP/1.0\r\nHost: ${SERVER}\r\n\r\n`)
      yield* until("the connection ends", () => received.ended)
      assert.match(received.text, /^HTTP\/1\.1 200 OK\r\n/)
      assert.notMatch(received.text, /103|chunked/)
      assert.isTrue(received.text.endsWith("\r\n\r\none"))
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  for (const [name, bytes] of Object.entries(HTTP1_REQUESTS)) {
    it.effect(`is refused with ${name}, and no backend hears of it`, () =>
      Effect.gen(function* () {
        const { client, lines, pool, received } = yield* open()
        client.write(bytes, "latin1")
        client.end()
        yield* until("the connection ends", () => received.ended)
        assert.match(received.text, /^HTTP\/1\.1 (400|405|421|501) /)
        assert.strictEqual(pool.sent.length, 0)
        assert.isAtLeast(lines.length, 1)
      })
    )
  }

  it.effect("is told that its head is too large", () =>
    Effect.gen(function* () {
      const { client, lines, received } = yield* open()
      client.write(get("/", `X: ${"a".repeat(128 * 1024)}`))
      yield* until("it is answered", () => received.text.includes("\r\n\r\n"))
      assert.match(received.text, /^HTTP\/1\.1 431 /)
      assert.strictEqual(lines[0]?.status, 431)
    })
  )

  it.effect("whose chunks are malformed is refused, and its backend's request is given up", () =>
    Effect.gen(function* () {
      const { client, pool, received } = yield* open(NEVER)
      client.write(`POST / HTTP/1.1\r\nHost: ${SERVER}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nx`)
      yield* until("it is answered", () => received.ended)
      assert.match(received.text, /HTTP\/1\.1 400 /)
      assert.strictEqual(pool.released, 1)
      assert.isUndefined(pool.bodies[0]?.trailers)
    })
  )

  it.effect("is told when its head does not come in time, and the connection ends", () =>
    Effect.gen(function* () {
      const { client, connection, received } = yield* open()
      client.write("GET / HTTP/1.1\r\n")
      yield* settle
      yield* TestClock.adjust(TIMEOUTS.headerTimeoutMs - 1)
      yield* settle
      assert.strictEqual(received.text, "")
      yield* TestClock.adjust(1)
      yield* until("the connection ends", () => received.ended)
      assert.match(received.text, /^HTTP\/1\.1 408 /)
      client.end()
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("is not served any more once it was told that its head came too late", () =>
    Effect.gen(function* () {
      const { client, pool, received } = yield* open(answer())
      client.write("GET / HTTP/1.1\r\n")
      yield* settle
      yield* TestClock.adjust(TIMEOUTS.headerTimeoutMs)
      yield* until("it is told", () => received.text.includes("HTTP/1.1 408 "))
      client.write(`Host: ${SERVER}\r\n\r\n${get("/")}`)
      yield* settle
      assert.strictEqual(pool.sent.length, 0)
      assert.strictEqual(received.text.match(/HTTP\/1\.1 /g)?.length, 1)
    })
  )

  it.effect("has as long for its next head, from its first byte on, and may rest before", () =>
    Effect.gen(function* () {
      const { client, received } = yield* open(answer(), answer())
      client.write(get("/"))
      yield* until("it is answered", () => received.text.includes("200 OK"))
      yield* settle
      yield* TestClock.adjust(TIMEOUTS.headerTimeoutMs * 3)
      client.write("GET /")
      yield* settle
      yield* TestClock.adjust(TIMEOUTS.headerTimeoutMs - 1)
      yield* settle
      assert.notInclude(received.text, "408")
      yield* TestClock.adjust(1)
      yield* until("it is told", () => received.text.includes("HTTP/1.1 408 "))
    })
  )

  it.effect("is told when the backend does not answer in time, and may go on", () =>
    Effect.gen(function* () {
      const { client, pool, received } = yield* open(NEVER, answer())
      client.write(get("/"))
      yield* until("it is sent", () => pool.sent.length === 1)
      yield* TestClock.adjust(TIMEOUTS.responseTimeoutMs)
      yield* until("it is told", () => received.text.includes("504 Gateway Timeout"))
      assert.strictEqual(pool.released, 1)
      client.write(get("/"))
      yield* until("the next is answered", () => received.text.includes("200 OK"))
    })
  )

  it.effect("that is idle for too long is let go", () =>
    Effect.gen(function* () {
      const { client, connection, received } = yield* open(answer())
      client.write(get("/"))
      yield* until("it is answered", () => received.text.includes("200 OK"))
      yield* settle
      yield* TestClock.adjust(TIMEOUTS.idleTimeoutMs - 1)
      yield* settle
      assert.isFalse(received.ended)
      yield* TestClock.adjust(TIMEOUTS.idleTimeoutMs / 8 + 1)
      yield* until("the connection ends", () => received.ended)
      assert.strictEqual(yield* connection.ended, "idle_timeout")
    })
  )

  it.effect("that goes takes its request with it at once", () =>
    Effect.gen(function* () {
      const { client, lines, pool } = yield* open(NEVER)
      client.write(get("/"))
      yield* until("it is sent", () => pool.sent.length === 1)
      client.end()
      yield* until("the request is given up", () => pool.released === 1)
      yield* until("it is logged", () => lines.length === 1)
      assert.isUndefined(lines[0]?.status)
    })
  )

  it.effect("can tell that a response broke off", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      const { client, connection, received } = yield* open(answer({ body: { readable: body, trailers: () => [] } }))
      client.write(get("/"))
      body.write("part")
      yield* until("the part comes", () => received.text.includes("4\r\npart\r\n"))
      body.destroy()
      yield* until("the connection ends", () => received.ended)
      assert.isFalse(received.text.endsWith("0\r\n\r\n"))
      assert.strictEqual(yield* connection.ended, "reset")
    })
  )

  it.effect("that is answered before it has sent all may finish, and ask again", () =>
    Effect.gen(function* () {
      const { client, received } = yield* open(answer({ status: 413 }), answer())
      client.write(`POST / HTTP/1.1\r\nHost: ${SERVER}\r\nContent-Length: 4\r\n\r\nab`)
      yield* until("it is answered", () => received.text.includes("413"))
      client.write(`cd${get("/")}`)
      yield* until("the next is answered", () => received.text.includes("200 OK"))
    })
  )

  it.effect("that is answered before it has sent all, and asked for the end, is read on until it has gone", () =>
    Effect.gen(function* () {
      const { client, connection, pool, received } = yield* open(answer({ status: 413, body: bodyOf("no") }))
      client.write(`POST / HTTP/1.1\r\nHost: ${SERVER}\r\nConnection: close\r\nContent-Length: 400004\r\n\r\nab`)
      yield* until("it is answered, and the answer's connection ended", () => received.ended)
      assert.match(received.text, /^HTTP\/1\.1 103 [^]*HTTP\/1\.1 413 [^]*no\r\n0\r\n\r\n$/)
      assert.notMatch(received.text, /keep-alive/i)
      client.write(Buffer.alloc(400_000))
      client.write("cd")
      yield* until("all of it is taken", () => client.writableLength === 0)
      yield* settle
      assert.deepStrictEqual([connection.duplex.destroyed, pool.sent.length], [false, 1])
      client.end()
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("that asked for the end, and never sends the rest, is let go", () =>
    Effect.gen(function* () {
      const { client, connection, received } = yield* open(answer({ status: 413 }))
      client.write(`POST / HTTP/1.1\r\nHost: ${SERVER}\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab`)
      yield* until("it is answered", () => received.ended)
      assert.isFalse(connection.duplex.destroyed)
      yield* settle
      yield* TestClock.adjust(TIMEOUTS.halfCloseTimeoutMs)
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("that never sends the rest of what was answered already is let go", () =>
    Effect.gen(function* () {
      const { client, connection, received } = yield* open(answer({ status: 413 }))
      client.write(`POST / HTTP/1.1\r\nHost: ${SERVER}\r\nContent-Length: 4\r\n\r\nab`)
      yield* until("it is answered", () => received.text.includes("413"))
      yield* settle
      yield* TestClock.adjust(TIMEOUTS.halfCloseTimeoutMs)
      yield* until("the connection ends", () => received.ended)
      assert.strictEqual(yield* connection.ended, "done")
    })
  )
})

describe("a connection of HTTP/1.1 that is to finish", () => {
  it.effect("closes at once where it rests", () =>
    Effect.gen(function* () {
      const { client, connection, host, received } = yield* open(answer())
      client.write(get("/"))
      yield* until("it is answered", () => received.text.includes("200 OK"))
      yield* settle
      host.retire()
      yield* until("the connection ends", () => received.ended)
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("closes behind the answer that it waits for, and says so", () =>
    Effect.gen(function* () {
      const response = yield* Deferred.make<BackendResponse, BackendFailed>()
      const { client, connection, host, pool, received } = yield* open(Deferred.await(response))
      client.write(get("/"))
      yield* until("it is sent", () => pool.sent.length === 1)
      host.retire()
      yield* settle
      assert.isFalse(received.ended)
      yield* Deferred.succeed(response, { status: 200, fields: [], body: bodyOf("one"), upgraded: undefined })
      yield* until("the connection ends", () => received.ended)
      assert.match(received.text, /connection: close\r\n/)
      assert.isTrue(received.text.endsWith("3\r\none\r\n0\r\n\r\n"))
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("serves the first request of who has just come", () =>
    Effect.gen(function* () {
      const { client, host, received } = yield* open(answer())
      host.retire()
      yield* settle
      client.write(get("/"))
      yield* until("the connection ends", () => received.ended)
      assert.match(received.text, /200 OK[^]*connection: close\r\n/)
    })
  )
})

describe("a WebSocket over HTTP/1.1", () => {
  const KEY = "dGhlIHNhbXBsZSBub25jZQ=="
  const UPGRADE = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    `Sec-WebSocket-Key: ${KEY}`,
    "Sec-WebSocket-Version: 13"
  ]

  it.effect("is accepted with its key, and carries bytes both ways until either side ends", () =>
    Effect.gen(function* () {
      const fromBackend = new PassThrough()
      const toBackend = new Sink()
      const { client, connection, received } = yield* open(
        answer({ body: { readable: fromBackend, trailers: () => [] }, upgraded: toBackend })
      )
      client.write(`${get("/chat", ...UPGRADE)}first`)
      yield* until("it is accepted", () => received.text.includes("101 "))
      assert.include(received.text, `sec-websocket-accept: ${acceptOf(KEY)}\r\n`)
      client.write(" second")
      fromBackend.write("hello")
      yield* until("bytes came both ways", () => toBackend.text === "first second" && received.text.endsWith("hello"))
      fromBackend.end()
      yield* until("the connection ends", () => received.ended)
      client.end()
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("that its client finishes goes on the other way, until the backend has finished, too", () =>
    Effect.gen(function* () {
      const fromBackend = new PassThrough()
      const toBackend = new Sink()
      const { client, connection, pool, received } = yield* open(
        answer({ body: { readable: fromBackend, trailers: () => [] }, upgraded: toBackend })
      )
      client.write(get("/chat", ...UPGRADE))
      yield* until("it is accepted", () => received.text.includes("101 "))
      client.end("bye")
      yield* until("the end is passed on", () => toBackend.trailers !== undefined && toBackend.text === "bye")
      yield* settle
      assert.deepStrictEqual([pool.released, received.ended], [0, false])
      fromBackend.end("bye, too")
      yield* until("the connection ends", () => received.ended)
      assert.isTrue(received.text.endsWith("bye, too"))
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("that its client finishes is over where nothing comes the other way any more", () =>
    Effect.gen(function* () {
      const fromBackend = new PassThrough()
      const { client, connection, pool, received } = yield* open(
        answer({ body: { readable: fromBackend, trailers: () => [] }, upgraded: new Sink() })
      )
      client.write(get("/chat", ...UPGRADE))
      yield* until("it is accepted", () => received.text.includes("101 "))
      client.end()
      yield* settle
      yield* TestClock.adjust(TIMEOUTS.halfCloseTimeoutMs * 1.25)
      yield* until("it is given up", () => pool.released === 1)
      assert.strictEqual(yield* connection.ended, "half_close_timeout")
    })
  )

  it.effect("goes on when its connection is to finish, whatever was served before it", () =>
    Effect.gen(function* () {
      const fromBackend = new PassThrough()
      const toBackend = new Sink()
      const { client, host, received } = yield* open(
        answer(),
        answer({ body: { readable: fromBackend, trailers: () => [] }, upgraded: toBackend })
      )
      client.write(get("/"))
      yield* until("the first is answered", () => received.text.includes("200 OK"))
      client.write(get("/chat", ...UPGRADE))
      yield* until("it is accepted", () => received.text.includes("101 "))
      host.retire()
      yield* settle
      client.write("ping")
      fromBackend.write("pong")
      yield* until("bytes come both ways", () => toBackend.text === "ping" && received.text.endsWith("pong"))
    })
  )

  it.effect("counts as what its client was told", () =>
    Effect.gen(function* () {
      const { client, lines, received } = yield* open(answer({ body: bodyOf("hi"), upgraded: new Sink() }))
      client.write(get("/chat", ...UPGRADE))
      yield* until("the connection ends", () => received.ended)
      assert.strictEqual(lines[0]?.status, 101)
    })
  )

  it.effect("behind a large response waits for all of that", () =>
    Effect.gen(function* () {
      const large = "x".repeat(1024 * 1024)
      const readable = Readable.from(
        large.match(/.{65536}/g)!.map((part) => Buffer.from(part)),
        { objectMode: false }
      )
      const { client, received } = yield* open(
        answer({
          fields: ["content-length", String(large.length)],
          body: { readable, length: large.length, trailers: () => [] }
        }),
        answer({ status: 403, body: bodyOf("no") })
      )
      client.write(get("/large") + get("/chat", ...UPGRADE))
      yield* until("both are answered", () => received.ended)
      // Not as a text, which a failure would show.
      assert.deepStrictEqual([received.text.includes(large), /403 [^]{0,500}no$/.test(received.text)], [true, true])
    })
  )

  it.effect("is refused in a way that shows where the answer broke off", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      const { client, connection, received, socket } = yield* open(
        answer({ status: 403, body: { readable: body, trailers: () => [] } })
      )
      client.write(get("/chat", ...UPGRADE))
      body.write("part")
      yield* until("the part comes", () => received.text.endsWith("part"))
      body.destroy()
      assert.strictEqual(yield* connection.ended, "reset")
      assert.isTrue(socket.isReset)
    })
  )

  it.effect("is refused as any request is, and nothing comes behind", () =>
    Effect.gen(function* () {
      const { client, received } = yield* open(answer({ status: 403, body: bodyOf("no") }))
      client.write(get("/chat", ...UPGRADE))
      yield* until("the connection ends", () => received.ended)
      assert.match(received.text, /HTTP\/1\.1 403 [^]*connection: close\r\n\r\nno$/)
    })
  )
})

it.effect("ends every request with the scope of the connection", () =>
  Effect.gen(function* () {
    const pool = new FakePool(NEVER)
    const fiber = yield* Effect.forkChild(
      Effect.scoped(
        Effect.gen(function* () {
          const { client } = yield* openWorld("http/1.1", pool)
          client.write(get("/"))
          return yield* Effect.never
        })
      )
    )
    yield* until("it is sent", () => pool.sent.length === 1)
    yield* Fiber.interrupt(fiber)
    assert.strictEqual(pool.released, 1)
  })
)
