import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { constants } from "node:http2"
import { fieldBlock, FLAG, frame, framesOf, headers, PREFACE, resetStream, TYPE } from "../../l7/Http2Frames.ts"
import { pseudo, SERVER } from "../../l7/Requests.ts"
import type { Proxy } from "../harness/Proxy.ts"
import { startHttp1Backend } from "./HttpBackend.ts"
import { startL7 } from "./L7Site.ts"
import { connectHttp1, connectTls, type TlsClient } from "./TlsClient.ts"

const PING = frame(TYPE.ping, FLAG.none, 0, Buffer.alloc(8))
const SETTINGS = frame(TYPE.settings, FLAG.none, 0)
const POST = pseudo({ ":method": "POST" })

const repeated = (bytes: Uint8Array, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => bytes))

const perStream = (count: number, frames: (stream: number) => ReadonlyArray<Uint8Array>): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => frames(2 * i + 1)).flat())

/** A head that goes on for ever: `:method: GET`, and no END_HEADERS. */
const OPEN_HEAD = frame(TYPE.headers, FLAG.endStream, 1, Buffer.of(0x82))
const FIELD = Buffer.of(0, 1, 120, 1, 49)

/**
 * What is sent behind the preface, all of it at once, and what GOAWAY says where it can still be sent: Node's library
 * calls what it counts itself INTERNAL_ERROR.
 */
const FLOODS: Readonly<Record<string, { readonly frames: () => Buffer; readonly code: number }>> = {
  "requests reset at once": {
    frames: () => perStream(5000, (stream) => [headers(stream, pseudo()), resetStream(stream)]),
    code: constants.NGHTTP2_ENHANCE_YOUR_CALM
  },
  "requests that we have to reset": {
    frames: () =>
      perStream(5000, (stream) => [
        headers(stream, [...POST, "content-length", "1"], FLAG.none),
        frame(TYPE.data, FLAG.none, stream, Buffer.alloc(2))
      ]),
    code: constants.NGHTTP2_INTERNAL_ERROR
  },
  "CONTINUATION without end": {
    frames: () =>
      Buffer.concat([OPEN_HEAD, repeated(frame(TYPE.continuation, FLAG.none, 1, repeated(FIELD, 3000)), 300)]),
    code: constants.NGHTTP2_INTERNAL_ERROR
  },
  "empty CONTINUATION": {
    frames: () => Buffer.concat([OPEN_HEAD, repeated(frame(TYPE.continuation, FLAG.none, 1), 50_000)]),
    code: constants.NGHTTP2_INTERNAL_ERROR
  },
  "empty DATA": {
    frames: () => Buffer.concat([headers(1, POST, FLAG.none), repeated(frame(TYPE.data, FLAG.none, 1), 50_000)]),
    code: constants.NGHTTP2_INTERNAL_ERROR
  },
  PING: { frames: () => repeated(PING, 20_000), code: constants.NGHTTP2_ENHANCE_YOUR_CALM },
  SETTINGS: { frames: () => repeated(SETTINGS, 5000), code: constants.NGHTTP2_ENHANCE_YOUR_CALM }
}

/** A backend that answers `/good`, and nobody else ever. */
const startSilentBackend = startHttp1Backend((request, response) => {
  if (request.url === "/good") response.end("good")
})

const assertServed = Effect.fnUntraced(function* (client: TlsClient) {
  const before = client.length
  yield* client.send(`GET /good HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
  const answer = yield* client.until("an answer", (bytes, ending) => {
    const text = bytes.toString("latin1", before)
    return ending !== undefined || text.includes("good") ? text : undefined
  })
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
})

const residentMib = (proxy: Proxy): number => {
  const status = readFileSync(`/proc/${proxy.program.pid}/status`, "utf8")
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024
}

/** What a busy proxy's heap grows by anyway; what is held back here would be gigabytes. */
const GROWTH_MIB_MAX = 150

const goAwayCodes = (client: TlsClient): ReadonlyArray<number> =>
  framesOf(client.bytes)
    .filter(({ type }) => type === TYPE.goAway)
    .map(({ payload }) => payload.readUInt32BE(4))

it.live("cuts off whoever floods a connection of HTTP/2, and serves others beside it", () =>
  Effect.gen(function* () {
    const backend = yield* startSilentBackend
    const proxy = yield* startL7(backend)
    const good = yield* connectHttp1(proxy.address)
    yield* assertServed(good)
    const before = residentMib(proxy)
    for (const [name, { code, frames }] of Object.entries(FLOODS)) {
      const client = yield* connectTls(proxy.address)
      const sending = yield* Effect.forkScoped(client.send(Buffer.concat([PREFACE, frames()])))
      yield* assertServed(good)
      yield* client.ended
      assert.include([code, undefined], goAwayCodes(client)[0], name)
      assert.strictEqual((yield* proxy.accessOf(client)).outcome, "reset", name)
      yield* assertServed(good)
      sending.interruptUnsafe()
    }
    assert.isBelow(residentMib(proxy) - before, GROWTH_MIB_MAX)
  })
)

it.live("tells who sends too many PINGs, and reads what it is told, to be calm", () =>
  Effect.gen(function* () {
    const proxy = yield* startL7(yield* startSilentBackend)
    const client = yield* connectTls(proxy.address)
    yield* client.send(PREFACE)
    // Ten times what a client may have at once and refills in a second.
    for (let sent = 0; client.ending === undefined && sent < 10_000; sent += 100) {
      yield* client.send(repeated(PING, 100))
      yield* client.until("answers", (bytes, ending) => ending ?? (pongs(bytes) >= sent + 100 ? "" : undefined))
    }
    yield* client.ended
    assert.strictEqual(goAwayCodes(client)[0], constants.NGHTTP2_ENHANCE_YOUR_CALM)
  })
)

const pongs = (bytes: Buffer): number => framesOf(bytes).filter(({ type }) => type === TYPE.ping).length

it.live("answers heads that are too large, whatever they are packed in, and keeps nothing of them", () =>
  Effect.gen(function* () {
    const backend = yield* startSilentBackend
    const proxy = yield* startL7(backend)
    const good = yield* connectHttp1(proxy.address)
    yield* assertServed(good)
    const before = residentMib(proxy)

    const small = yield* connectTls(proxy.address)
    const many = Array.from({ length: 2000 }, (_, i) => [`x${i}`, "1"]).flat()
    const block = fieldBlock([...pseudo(), ...many])
    yield* small.send(
      Buffer.concat([
        PREFACE,
        frame(TYPE.headers, FLAG.endStream, 1, block.subarray(0, FRAME_BYTES_MAX)),
        frame(TYPE.continuation, FLAG.endHeaders, 1, block.subarray(FRAME_BYTES_MAX))
      ])
    )
    yield* small.frame("an answer", ({ stream }) => stream === 1)
    assert.strictEqual((yield* proxy.request(({ client }) => client === small.local)).status, 431)

    const bombs = yield* connectTls(proxy.address)
    yield* bombs.send(PREFACE)
    for (let i = 0; i < BOMBS; i++) {
      const stream = 2 * i + 1
      yield* bombs.send(frame(TYPE.headers, FLAG.endStream | FLAG.endHeaders, stream, bomb()))
      yield* bombs.frame("a verdict", ({ stream: of, type }) => of === stream || type === TYPE.goAway)
      if (i % 10 === 0) yield* assertServed(good)
    }
    assert.deepStrictEqual(
      backend.seen.filter(({ path }) => path !== "/good"),
      []
    )
    assert.isBelow(residentMib(proxy) - before, GROWTH_MIB_MAX)
  })
)

/** 65 MB of fields each, were they kept. */
const BOMBS = 50

/** The largest frame that anybody has to take. */
const FRAME_BYTES_MAX = 16_384

/** Puts a field of 4,000 bytes into the table of fields, and names it again with each byte that follows. */
const bomb = (): Buffer => {
  const length = Buffer.of(127, 0xa1, 0x1e)
  const literal = Buffer.concat([Buffer.of(0x40, 1), Buffer.from("x"), length, Buffer.alloc(4000, "a")])
  return Buffer.concat([literal, Buffer.alloc(FRAME_BYTES_MAX - literal.length, 0xbe)])
}
