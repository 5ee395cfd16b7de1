import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { TestClock } from "effect/testing"
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2"
import type { Duplex } from "node:stream"
import { PassThrough } from "node:stream"
import type { BackendFailed, BackendResponse } from "../../../src/l7/backend/Backends.ts"
import { STREAMS_MAX } from "../../../src/l7/client/Http2Client.ts"
import { PINGS_MAX, RESETS_MAX, SETTINGS_MAX } from "../../../src/l7/FloodGuard.ts"
import { bodyOf, FakePool, Sink, type Answer } from "../FakeExchange.ts"
import { FLAG, frame, framesOf, headers, PREFACE, resetStream, TYPE, uint32, type Frame } from "../Http2Frames.ts"
import { pseudo, SERVER } from "../Requests.ts"
import { openWorld, settle, TIMEOUTS, until } from "./ClientWorld.ts"

const answer = (changes: Partial<BackendResponse> = {}): Answer =>
  Effect.succeed({ status: 200, fields: [], body: undefined, upgraded: undefined, ...changes })

const NEVER: Answer = Effect.never

const open = Effect.fnUntraced(function* (...answers: ReadonlyArray<Answer>) {
  const pool = new FakePool(...answers)
  const world = yield* openWorld("h2", pool)
  const session = connect(`https://${SERVER}`, {
    createConnection: () => world.client,
    maxSendHeaderBlockLength: 1024 * 1024
  })
  session.on("error", () => {})
  const goaways: Array<{ readonly code: number; readonly last: number }> = []
  session.on("goaway", (code: number, last: number) => goaways.push({ code, last }))
  yield* Effect.addFinalizer(() => Effect.sync(() => session.destroy()))
  yield* until("SETTINGS came", () => session.remoteSettings.maxConcurrentStreams === STREAMS_MAX)
  return { ...world, pool, session, goaways }
})

/** A request, and what comes of it. */
class Asked {
  readonly stream: ClientHttp2Stream
  readonly interims: Array<number> = []
  status: number | undefined
  fields: ReadonlyArray<string> = []
  trailers: ReadonlyArray<string> = []
  text = ""
  isOver = false
  code: number | undefined

  constructor(session: ClientHttp2Session, path: string, more: Readonly<Record<string, string>> = {}, body = false) {
    const stream = session.request({ ":path": path, ...more }, { endStream: !body })
    this.stream = stream
    stream.setEncoding("utf8").on("error", () => {})
    stream.on("headers", (head) => this.interims.push(head[":status"] ?? 0))
    stream.on("response", (head, _flags, raw) => {
      this.status = head[":status"]
      this.fields = raw
    })
    stream.on("trailers", (_head, _flags, raw) => (this.trailers = raw))
    stream.on("data", (chunk: string) => (this.text += chunk))
    stream.on("close", () => {
      this.isOver = true
      this.code = stream.rstCode
    })
  }
}

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants

describe("a client of HTTP/2", () => {
  it.effect("has many requests running, and each is answered with interim heads, body and trailers", () =>
    Effect.gen(function* () {
      const { pool, session } = yield* open(
        answer({ fields: ["x", "1", "x", "2"], body: bodyOf("one", ["x-sum", "7"]) }),
        answer({ status: 204 })
      )
      const first = new Asked(session, "/1")
      const second = new Asked(session, "/2")
      yield* until("both are over", () => first.isOver && second.isOver)
      assert.deepStrictEqual(
        pool.sent.map(({ path }) => path),
        ["/1", "/2"]
      )
      assert.deepStrictEqual([first.status, first.text, first.code], [200, "one", NGHTTP2_NO_ERROR])
      assert.deepStrictEqual(first.fields.slice(0, 6), [":status", "200", "x", "1", "x", "2"])
      assert.deepStrictEqual([first.interims, first.trailers], [[103], ["x-sum", "7"]])
      assert.deepStrictEqual([second.status, second.text], [204, ""])
    })
  )

  it.effect("sends its body and trailers on as they come", () =>
    Effect.gen(function* () {
      const { pool, session } = yield* open(NEVER)
      const stream = session.request({ ":method": "POST" }, { waitForTrailers: true })
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "7" })).on("error", () => {})
      stream.write("a")
      yield* until("the first byte came", () => pool.bodies[0]?.text === "a")
      stream.end("b")
      yield* until("the body ends", () => pool.bodies[0]?.trailers !== undefined)
      yield* until("all of it came", () => pool.bodies[0]?.text === "ab")
      assert.deepStrictEqual(pool.bodies[0]?.trailers, ["x-sum", "7"])
    })
  )

  it.effect("may send on its connection what its streams take together, and no more", () =>
    Effect.gen(function* () {
      const { session } = yield* open()
      yield* until("the window came", () => session.state.remoteWindowSize !== 65_535)
      yield* settle
      assert.strictEqual(session.state.remoteWindowSize, STREAMS_MAX * (session.remoteSettings.initialWindowSize ?? 0))
    })
  )

  it.effect("gets no body to HEAD", () =>
    Effect.gen(function* () {
      const { session } = yield* open(answer({ fields: ["content-length", "3"] }))
      const head = new Asked(session, "/", { ":method": "HEAD" })
      yield* until("it is over", () => head.isOver)
      assert.deepStrictEqual([head.status, head.text], [200, ""])
      assert.include(head.fields, "content-length")
    })
  )

  it.effect(
    "gets the end of a body of known length with its last byte, and its backend is not cancelled for that",
    () =>
      Effect.gen(function* () {
        const body = new PassThrough()
        const { lines, pool, session } = yield* open(
          answer({ fields: ["content-length", "3"], body: { readable: body, length: 3, trailers: () => [] } })
        )
        const asked = new Asked(session, "/")
        body.write("on")
        yield* until("a part came", () => asked.text === "on")
        assert.isFalse(asked.isOver)
        body.write("e")
        yield* until("it is over", () => asked.isOver)
        assert.deepStrictEqual([asked.text, asked.code], ["one", NGHTTP2_NO_ERROR])
        yield* settle
        assert.strictEqual(pool.released, 0)
        body.end()
        yield* until("the backend's part is over", () => pool.released === 1)
        assert.deepStrictEqual([lines[0]?.status, lines[0]?.bytes], [200, 3])
      })
  )

  it.effect("that breaks its request off behind a response of known length takes the backend's part with it", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      const { client, connection, frames, lines, pool } = yield* raw(
        answer({ fields: ["content-length", "3"], body: { readable: body, length: 3, trailers: () => [] } })
      )
      client.write(headers(1, pseudo({ ":method": "POST", ":authority": SERVER }), FLAG.none))
      client.write(frame(TYPE.data, FLAG.none, 1, Buffer.from("one")))
      body.write("one")
      yield* until("the response has ended", () => frames().some(endsResponse))
      yield* settle
      assert.strictEqual(pool.released, 0)
      client.write(resetStream(1))
      yield* until("the backend's part is over", () => pool.released === 1)
      assert.deepStrictEqual([connection.running, lines[0]?.status], [0, 200])
    })
  )

  it.effect("that has all of a response is not waited for by a backend that never ends it", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      const { connection, lines, pool, session } = yield* open(
        answer({ fields: ["content-length", "3"], body: { readable: body, length: 3, trailers: () => [] } }),
        answer({ status: 204 })
      )
      const asked = new Asked(session, "/")
      body.write("one")
      yield* until("it is over", () => asked.isOver)
      yield* TestClock.adjust(TIMEOUTS.idleTimeoutMs / 8)
      assert.deepStrictEqual([connection.running, pool.released], [1, 0])
      yield* TestClock.adjust(TIMEOUTS.idleTimeoutMs / 8)
      yield* until("the backend's part is given up", () => pool.released === 1)
      assert.deepStrictEqual([connection.running, lines[0]?.status, lines[0]?.bytes], [0, 200, 3])
      const next = new Asked(session, "/")
      yield* until("the next is over", () => next.isOver)
      assert.strictEqual(next.status, 204)
    })
  )

  it.effect("that cancels takes its request with it at once, and the others go on", () =>
    Effect.gen(function* () {
      const { lines, pool, session } = yield* open(NEVER, NEVER)
      const first = new Asked(session, "/1")
      const second = new Asked(session, "/2")
      yield* until("both are sent", () => pool.sent.length === 2)
      first.stream.close(NGHTTP2_CANCEL)
      yield* until("one is given up", () => pool.released === 1)
      yield* until("it is logged", () => lines.length === 1)
      assert.isUndefined(lines[0]?.status)
      assert.isFalse(second.isOver)
    })
  )

  it.effect("that goes takes all its requests with it", () =>
    Effect.gen(function* () {
      const { client, connection, pool, session } = yield* open(NEVER, NEVER)
      new Asked(session, "/1")
      new Asked(session, "/2")
      yield* until("both are sent", () => pool.sent.length === 2)
      client.end()
      yield* until("both are given up", () => pool.released === 2)
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("can tell that a response broke off", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      const { session } = yield* open(answer({ body: { readable: body, trailers: () => [] } }))
      const asked = new Asked(session, "/")
      body.write("part")
      yield* until("the part came", () => asked.text === "part")
      body.destroy()
      yield* until("it is over", () => asked.isOver)
      assert.strictEqual(asked.code, NGHTTP2_INTERNAL_ERROR)
    })
  )

  it.effect("gets no end of a body of known length that broke off before it", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      const { client, frames } = yield* raw(
        answer({ fields: ["content-length", "3"], body: { readable: body, length: 3, trailers: () => [] } })
      )
      client.write(headers(1, pseudo({ ":authority": SERVER })))
      body.write("on")
      yield* until("a part came", () => frames().some(({ type }) => type === TYPE.data))
      body.destroy()
      yield* until("it is reset", () => frames().some(({ type }) => type === TYPE.reset))
      assert.isFalse(frames().some(endsResponse))
    })
  )

  it.effect("gets no length with a head that nothing can follow", () =>
    Effect.gen(function* () {
      const { session } = yield* open(answer({ status: 204, fields: ["content-length", "3", "x", "1"] }))
      const asked = new Asked(session, "/")
      yield* until("it is over", () => asked.isOver)
      assert.deepStrictEqual([asked.status, asked.code], [204, NGHTTP2_NO_ERROR])
      assert.notInclude(asked.fields, "content-length")
      assert.include(asked.fields, "x")
    })
  )

  it.effect("that is answered before it has sent all is told to stop, and that nothing is wrong", () =>
    Effect.gen(function* () {
      const { session } = yield* open(answer({ status: 413, body: bodyOf("no") }))
      const asked = new Asked(session, "/", { ":method": "POST" }, true)
      asked.stream.write("a")
      yield* until("the answer has ended", () => asked.stream.readableEnded)
      yield* TestClock.adjust("1 second")
      yield* until("it is over", () => asked.isOver)
      assert.deepStrictEqual([asked.status, asked.text, asked.code], [413, "no", NGHTTP2_NO_ERROR])
    })
  )

  it.effect("that takes nothing of an early answer is looked after less and less often", () =>
    Effect.gen(function* () {
      const { client, connection, frames } = yield* raw(
        answer({ fields: ["content-length", "2"], body: { ...bodyOf("no"), length: 2 } })
      )
      let looks = 0
      const after = connection.after.bind(connection)
      connection.after = (ms, later) => {
        looks++
        return after(ms, later)
      }
      client.write(frame(TYPE.settings, FLAG.none, 0, NO_WINDOW))
      client.write(headers(1, pseudo({ ":method": "POST", ":authority": SERVER }), FLAG.none))
      yield* until("it is answered", () => looks > 0)
      for (let tenth = 0; tenth < 100; tenth++) yield* TestClock.adjust("100 millis")
      assert.isBelow(looks, 20)
      client.write(frame(TYPE.windowUpdate, FLAG.none, 1, uint32(2)))
      yield* until("the response has ended", () => frames().some(endsResponse))
      yield* TestClock.adjust("1 second")
      yield* until("it is told to stop", () => frames().some(({ type }) => type === TYPE.reset))
    })
  )

  it.effect("is told when the backend does not answer in time", () =>
    Effect.gen(function* () {
      const { pool, session } = yield* open(NEVER)
      const asked = new Asked(session, "/")
      yield* until("it is sent", () => pool.sent.length === 1)
      yield* TestClock.adjust(TIMEOUTS.responseTimeoutMs - 1)
      yield* settle
      assert.isUndefined(asked.status)
      yield* TestClock.adjust(1)
      yield* until("it is over", () => asked.isOver)
      assert.strictEqual(asked.status, 504)
    })
  )

  it.effect("is told of a head that is too large, and the next request is served", () =>
    Effect.gen(function* () {
      const { pool, session } = yield* open(answer())
      const large = new Asked(session, "/", { x: "a".repeat(63 * 1024), y: "b".repeat(2 * 1024) })
      yield* until("it is over", () => large.isOver)
      assert.strictEqual(large.status, 431)
      assert.strictEqual(pool.sent.length, 0)
      const next = new Asked(session, "/")
      yield* until("the next is over", () => next.isOver)
      assert.strictEqual(next.status, 200)
    })
  )

  it.effect("has a WebSocket by extended CONNECT, which carries bytes both ways", () =>
    Effect.gen(function* () {
      const fromBackend = new PassThrough()
      const toBackend = new Sink()
      const { pool, session } = yield* open(
        answer({
          fields: ["content-length", "0"],
          body: { readable: fromBackend, trailers: () => [] },
          upgraded: toBackend
        })
      )
      assert.isTrue(session.remoteSettings.enableConnectProtocol)
      const asked = new Asked(session, "/chat", { ":method": "CONNECT", ":protocol": "websocket" }, true)
      asked.stream.write("ping")
      fromBackend.write("pong")
      yield* until("bytes came both ways", () => toBackend.text === "ping" && asked.text === "pong")
      assert.isTrue(pool.sent[0]?.isWebSocket)
      fromBackend.end()
      yield* until("the backend's bytes have ended", () => asked.stream.readableEnded)
      yield* TestClock.adjust("1 second")
      yield* until("it is over", () => asked.isOver)
      assert.deepStrictEqual([asked.status, asked.code], [200, NGHTTP2_NO_ERROR])
      assert.notInclude(asked.fields, "content-length")
    })
  )

  it.effect("does not end a WebSocket that its backend breaks off", () =>
    Effect.gen(function* () {
      const fromBackend = new PassThrough()
      const { session } = yield* open(
        answer({ body: { readable: fromBackend, trailers: () => [] }, upgraded: new Sink() })
      )
      const asked = new Asked(session, "/chat", { ":method": "CONNECT", ":protocol": "websocket" }, true)
      let ended = false
      asked.stream.on("end", () => (ended = asked.stream.rstCode === NGHTTP2_NO_ERROR))
      fromBackend.write("half")
      yield* until("half has come", () => asked.text === "half")
      fromBackend.destroy()
      yield* until("it is over", () => asked.isOver)
      assert.deepStrictEqual([ended, asked.code], [false, NGHTTP2_INTERNAL_ERROR])
    })
  )

  for (const status of [200, 204, 299]) {
    it.effect(`is not told that its WebSocket is accepted by a ${status} that means something else`, () =>
      Effect.gen(function* () {
        const { pool, session } = yield* open(answer({ status, body: bodyOf("a page") }))
        const asked = new Asked(session, "/chat", { ":method": "CONNECT", ":protocol": "websocket" }, true)
        yield* until("it is answered", () => asked.stream.readableEnded)
        assert.deepStrictEqual([asked.status, asked.text], [502, "Bad Gateway\n"])
        assert.strictEqual(pool.released, 1)
      })
    )
  }

  it.effect("is let go where no request comes in time", () =>
    Effect.gen(function* () {
      const { connection, goaways } = yield* open()
      yield* TestClock.adjust(TIMEOUTS.headerTimeoutMs)
      assert.strictEqual(yield* connection.ended, "done")
      assert.deepStrictEqual(goaways, [{ code: NGHTTP2_NO_ERROR, last: 0 }])
    })
  )

  it.effect("that is idle for too long is let go, with what still runs", () =>
    Effect.gen(function* () {
      const { connection, goaways, pool, session } = yield* open(NEVER)
      new Asked(session, "/", { ":method": "POST" }, true)
      yield* until("it is sent", () => pool.sent.length === 1)
      for (let looks = 0; looks < 10; looks++) {
        yield* settle
        yield* TestClock.adjust(TIMEOUTS.idleTimeoutMs / 8)
      }
      yield* until("it is given up", () => pool.released === 1)
      assert.strictEqual(yield* connection.ended, "idle_timeout")
      assert.strictEqual(goaways[0]?.code, NGHTTP2_NO_ERROR)
    })
  )
})

describe("a connection of HTTP/2 that is to finish", () => {
  it.effect("takes what is under way, then nothing more, and ends when the last request is over", () =>
    Effect.gen(function* () {
      const response = yield* Deferred.make<BackendResponse, BackendFailed>()
      const { connection, goaways, host, pool, session } = yield* open(Deferred.await(response))
      const asked = new Asked(session, "/")
      yield* until("it is sent", () => pool.sent.length === 1)
      host.retire()
      yield* until("GOAWAY came", () => goaways.length === 1)
      assert.deepStrictEqual(goaways, [{ code: NGHTTP2_NO_ERROR, last: 1 }])
      assert.isFalse(asked.isOver)
      yield* Deferred.succeed(response, { status: 200, fields: [], body: bodyOf("one"), upgraded: undefined })
      yield* until("it is over", () => asked.isOver)
      assert.strictEqual(asked.text, "one")
      assert.strictEqual(yield* connection.ended, "done")
    })
  )

  it.effect("ends at once when nothing runs, and tells a client that asks meanwhile that it took nothing", () =>
    Effect.gen(function* () {
      const { client, connection, frames, host, pool } = yield* raw(answer({ status: 204 }))
      client.on("end", () => client.end())
      client.write(headers(1, pseudo({ ":authority": SERVER })))
      yield* until("the first is answered", () => frames().some(({ stream }) => stream === 1))
      yield* settle
      host.retire()
      client.write(headers(3, pseudo({ ":authority": SERVER })))
      assert.strictEqual(yield* connection.ended, "done")
      const goAway = frames().find(({ type }) => type === TYPE.goAway)
      assert.deepStrictEqual([goAway?.payload.readUInt32BE(0), pool.sent.length], [1, 1])
    })
  )

  it.effect("serves the first request, which was on its way, and nothing behind it", () =>
    Effect.gen(function* () {
      const { client, connection, frames, host, pool } = yield* raw(answer({ status: 204 }))
      client.on("end", () => client.end())
      host.retire()
      yield* settle
      assert.isUndefined(goAwayCode(frames()))
      client.write(headers(1, pseudo({ ":authority": SERVER })))
      yield* until("GOAWAY came", () => goAwayCode(frames()) !== undefined)
      client.write(headers(3, pseudo({ ":authority": SERVER })))
      assert.strictEqual(yield* connection.ended, "done")
      const goAway = frames().find(({ type }) => type === TYPE.goAway)
      assert.deepStrictEqual([goAway?.payload.readUInt32BE(0), pool.sent.length], [1, 1])
      assert.isTrue(frames().some(({ stream }) => stream === 1))
    })
  )

  it.effect("ends before a request has come once its client says that none was on its way", () =>
    Effect.gen(function* () {
      const { connection, goaways, host } = yield* open()
      host.retire()
      assert.strictEqual(yield* connection.ended, "done")
      assert.deepStrictEqual(goaways, [{ code: NGHTTP2_NO_ERROR, last: 0 }])
    })
  )
})

/** A client that sends frames by hand; `received` is what has come. */
const raw = Effect.fnUntraced(function* (...answers: ReadonlyArray<Answer>) {
  const pool = new FakePool(...answers)
  const world = yield* openWorld("h2", pool)
  const received: Array<Buffer> = []
  world.client.on("data", (chunk: Buffer) => received.push(chunk))
  world.client.write(PREFACE)
  yield* settle
  return { ...world, pool, frames: () => framesOf(Buffer.concat(received)) }
})

/** SETTINGS_INITIAL_WINDOW_SIZE of 0 (RFC 9113 6.5.2). */
const NO_WINDOW = Buffer.from([0, 4, 0, 0, 0, 0])

const endsResponse = ({ flags, type }: Frame): boolean => type === TYPE.data && (flags & FLAG.endStream) !== 0

const goAwayCode = (frames: ReturnType<typeof framesOf>): number | undefined =>
  frames.find(({ type }) => type === TYPE.goAway)?.payload.readUInt32BE(4)

/** Sends so many frames, no more at once than the library takes: it cuts off who makes it queue 1,000 answers. */
const send = Effect.fnUntraced(function* (client: Duplex, count: number, frameOf: (index: number) => Uint8Array) {
  for (let index = 0; index < count; index++) {
    client.write(frameOf(index))
    if (index % 100 === 99) yield* settle
  }
})

const PING = frame(TYPE.ping, FLAG.none, 0, Buffer.alloc(8))
const SETTING = frame(TYPE.settings, FLAG.none, 0)

/** A request, and its cancellation at once. */
const dropped = (index: number) =>
  Buffer.concat([headers(2 * index + 1, pseudo({ ":authority": SERVER })), resetStream(2 * index + 1)])

describe("a client that floods its connection of HTTP/2", () => {
  const floods: ReadonlyArray<readonly [string, number, (index: number) => Uint8Array]> = [
    ["PING", PINGS_MAX, () => PING],
    ["SETTINGS", SETTINGS_MAX - 1, () => SETTING],
    ["requests that it drops", RESETS_MAX, dropped]
  ]
  for (const [name, allowed, frameOf] of floods) {
    it.effect(`with ${name} is told to be calm, and cut off`, () =>
      Effect.gen(function* () {
        const { client, connection, frames } = yield* raw()
        yield* send(client, 2 * allowed, frameOf)
        yield* until("GOAWAY came", () => goAwayCode(frames()) !== undefined)
        assert.strictEqual(goAwayCode(frames()), NGHTTP2_ENHANCE_YOUR_CALM)
        assert.strictEqual(yield* connection.ended, "reset")
      })
    )

    it.effect(`is served as long as it is not more ${name} than are allowed`, () =>
      Effect.gen(function* () {
        const { client, frames } = yield* raw(...Array.from({ length: allowed }, () => NEVER))
        yield* send(client, allowed, frameOf)
        client.write(PING)
        yield* settle
        assert.isUndefined(goAwayCode(frames()))
      })
    )
  }
})
