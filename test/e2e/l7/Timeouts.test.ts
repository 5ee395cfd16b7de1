import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { FLAG, frame, headers, PREFACE, TYPE } from "../../l7/Http2Frames.ts"
import { pseudo, SERVER } from "../../l7/Requests.ts"
import type { Proxy } from "../harness/Proxy.ts"
import { startHttp1Backend } from "./HttpBackend.ts"
import { startL7 } from "./L7Site.ts"
import { connectHttp1, connectTls, type TlsClient } from "./TlsClient.ts"

/** Sends a byte of `bytes` a while after the other, until the connection ends or they do. */
const dribble = (client: TlsClient, bytes: Uint8Array) =>
  Effect.forEach(bytes, (byte) => Effect.delay(client.send(Uint8Array.of(byte)), "50 millis"), { discard: true }).pipe(
    Effect.forkScoped
  )

const isGoAway = ({ type }: { readonly type: number }) => type === TYPE.goAway

it.live("cuts off heads that come by drops, and connections on which none comes", () =>
  Effect.gen(function* () {
    const backend = yield* startHttp1Backend()
    const proxy = yield* startL7(backend, { proxy: { header_timeout: "1s", half_close_timeout: "1s" } })
    const slow1 = yield* connectHttp1(proxy.address)
    yield* dribble(slow1, Buffer.from(`GET / HTTP/1.1\r\nHost: ${SERVER}\r\nX: ${"a".repeat(1000)}`))
    const silent1 = yield* connectHttp1(proxy.address)
    // The second head of a connection is bound to the same.
    const second1 = yield* connectHttp1(proxy.address)
    yield* second1.send(`GET /first HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
    yield* second1.matches(/\r\n\/first/)
    yield* dribble(second1, Buffer.from(`GET /second HTTP/1.1\r\nX: ${"a".repeat(1000)}`))

    const slow2 = yield* connectTls(proxy.address)
    yield* slow2.send(PREFACE)
    yield* dribble(slow2, frame(TYPE.headers, FLAG.endStream, 1, Buffer.alloc(1000, 0x82)))
    const silent2 = yield* connectTls(proxy.address)
    yield* silent2.send(PREFACE)

    for (const client of [slow1, silent1, second1]) {
      yield* client.matches(/HTTP\/1\.1 408 Request Timeout\r\n/)
      yield* client.ended
    }
    for (const client of [slow2, silent2]) {
      assert.strictEqual((yield* client.frame("GOAWAY", isGoAway)).payload.readUInt32BE(4), 0)
      yield* client.ended
    }
    assert.deepStrictEqual(
      backend.seen.map(({ path }) => path),
      ["/first"]
    )
  })
)

it.live("ends connections without a byte either way, and not those whose requests go on", () =>
  Effect.gen(function* () {
    const backend = yield* startHttp1Backend((request, response) => {
      if (request.url === "/good") return void response.end("good")
      const sending = setInterval(() => response.write("."), 100)
      response.once("close", () => clearInterval(sending))
    })
    const proxy = yield* startL7(backend, { proxy: { idle_timeout: "1s" } })
    const one = yield* connectHttp1(proxy.address)
    yield* one.send(`GET /good HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
    const two = yield* connectTls(proxy.address)
    yield* two.send(Buffer.concat([PREFACE, headers(1, pseudo({ ":path": "/good" }))]))
    const busy = yield* connectHttp1(proxy.address)
    yield* busy.send(`GET /dots HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
    yield* two.frame("GOAWAY", isGoAway)
    for (const client of [one, two]) {
      assert.strictEqual(yield* client.ended, "fin")
      assert.strictEqual((yield* proxy.accessOf(client)).outcome, "idle_timeout")
    }
    const dots = busy.length
    yield* busy.received(dots + 1)
    assert.isUndefined(busy.ending)
  })
)

it.live("answers 504 where the backend is late, on HTTP/1.1 and in gRPC's words, and goes on", () =>
  Effect.gen(function* () {
    const backend = yield* startHttp1Backend((request, response) => {
      request.resume()
      if (request.url === "/good") response.end("good")
    })
    const proxy = yield* startL7(backend, { proxy: { response_timeout: "1s" } })
    const one = yield* connectHttp1(proxy.address)
    const two = yield* connectTls(proxy.address)
    const call = pseudo({ ":path": "/call", ":method": "POST" })
    yield* two.send(
      Buffer.concat([PREFACE, headers(1, [...call, "content-type", "application/grpc", "te", "trailers"])])
    )
    yield* one.send(`GET /late HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
    yield* one.matches(/^HTTP\/1\.1 504 Gateway Timeout\r\n[^]*\r\n\r\nGateway Timeout\n/)
    yield* one.send(`GET /good HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
    yield* one.matches(/HTTP\/1\.1 200 OK\r\n[^]*good/)
    // Trailers only: its one HEADERS ends the stream.
    const { flags } = yield* two.frame("an answer", ({ stream, type }) => stream === 1 && type === TYPE.headers)
    assert.strictEqual(flags & FLAG.endStream, FLAG.endStream)
    assert.strictEqual((yield* proxy.request(({ path }) => path === "/call")).status, 504)
  })
)

const residentMib = (proxy: Proxy): number => {
  const status = readFileSync(`/proc/${proxy.program.pid}/status`, "utf8")
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024
}

it.live("holds little of what clients do not read, and ends them", () =>
  Effect.gen(function* () {
    const body = Buffer.alloc(16 * 1024 * 1024)
    const backend = yield* startHttp1Backend(
      (request, response) => void response.end(request.url === "/good" ? "good" : body)
    )
    const proxy = yield* startL7(backend, { proxy: { idle_timeout: "3s", half_close_timeout: "1s" } })
    yield* assertServed(proxy)
    const before = residentMib(proxy)
    // Windows of a gigabyte, so that nothing but the socket holds the proxy back, which is not read.
    const streams = Array.from({ length: STREAMS }, (_, i) => 2 * i + 1)
    const stalled = yield* connectTls(proxy.address)
    stalled.tls.pause()
    yield* stalled.send(
      Buffer.concat([PREFACE, WIDE_STREAMS, WIDE_CONNECTION, ...streams.map((stream) => headers(stream, pseudo()))])
    )
    const stalled1 = yield* connectHttp1(proxy.address)
    stalled1.tls.pause()
    yield* stalled1.send(`GET / HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
    yield* backend.sawAtLeast(STREAMS + 2)
    yield* assertServed(proxy)
    // Gigabytes are on offer all the time until both are ended.
    const line2 = yield* proxy.accessOf(stalled)
    const line1 = yield* proxy.accessOf(stalled1)
    assert.isBelow(residentMib(proxy) - before, GROWTH_MIB_MAX)
    for (const { from_backend, outcome } of [line1, line2]) {
      assert.include(["idle_timeout", "half_close_timeout"], outcome)
      assert.isBelow(from_backend, body.length)
    }
  })
)

const assertServed = Effect.fnUntraced(function* (proxy: Proxy) {
  const client = yield* connectHttp1(proxy.address)
  yield* client.send(`GET /good HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
  assert.match(yield* client.matches(/^HTTP[^]*good/), /^HTTP\/1\.1 200 OK\r\n/)
})

const STREAMS = 100
/** A tenth of what the streams would get. */
const GROWTH_MIB_MAX = 160
const GIGABYTE = Buffer.of(0x40, 0, 0, 0)
/** SETTINGS_INITIAL_WINDOW_SIZE. */
const WIDE_STREAMS = frame(TYPE.settings, FLAG.none, 0, Buffer.concat([Buffer.of(0, 4), GIGABYTE]))
/** WINDOW_UPDATE. */
const WIDE_CONNECTION = frame(8, FLAG.none, 0, GIGABYTE)
