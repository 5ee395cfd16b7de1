import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { HTTP1_BODIES, HTTP1_REQUESTS, HTTP2_FIELDS, HTTP2_REQUESTS } from "../../l7/HostileRequests.ts"
import { type Frame, headers, PREFACE, TYPE } from "../../l7/Http2Frames.ts"
import { pseudo, SERVER } from "../../l7/Requests.ts"
import type { Proxy } from "../harness/Proxy.ts"
import { startHttp1Backend, startHttp2Backend, type HttpBackend } from "./HttpBackend.ts"
import { routeTo, startL7 } from "./L7Site.ts"
import { connectHttp1, connectTls, type TlsClient } from "./TlsClient.ts"

// Connections to the backend are shared: what an attacker left on one of them would be another client's answer. So a good
// request follows each hostile one, and has to get its own answer.

interface Target {
  readonly proxy: Proxy
  readonly address: string
  readonly backend: HttpBackend
  /** A good client's connection, which stays. */
  readonly good: TlsClient
}

/** The proxy before a backend of HTTP/1.1 and one of h2c, each for a listener of its own. */
const start = Effect.gen(function* () {
  const backends = [yield* startHttp1Backend(), yield* startHttp2Backend()]
  const listeners = yield* Effect.forEach(backends, (backend, i) =>
    Effect.map(routeTo(backend), (route) => ({ addr: `127.0.0.${i + 1}:0`, routes: [route] }))
  )
  const proxy = yield* startL7(backends[0]!, { listeners })
  return yield* Effect.forEach(backends, (backend, i) => {
    const address = proxy.addressOf(`127.0.0.${i + 1}:0`)
    return Effect.map(connectHttp1(address), (good): Target => ({ proxy, address, backend, good }))
  })
})

/** Asks for `path` on a connection of HTTP/1.1 that has been asked on before, and checks that it is what is answered. */
const assertServed = Effect.fnUntraced(function* ({ good }: Target, path: string) {
  const before = good.length
  yield* good.send(`GET ${path} HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
  const answer = yield* good.until(`the answer to ${path}`, (bytes, ending) => {
    const text = bytes.toString("latin1", before)
    return ending !== undefined || text.endsWith(path) || text.endsWith("\r\n0\r\n\r\n") ? text : undefined
  })
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
  assert.include(answer, `\r\n${path}`)
  assert.lengthOf(answer.match(/HTTP\/1\.1/g) ?? [], 1)
})

/** The backend has had the requests of the good client, and no other. */
const assertOnlyGood = ({ backend }: Target, count: number) => {
  assert.deepStrictEqual(
    backend.seen.map(({ path }) => path),
    Array.from({ length: count }, (_, i) => `/good/${i}`)
  )
}

/** The client is refused, and told nothing behind that up to the end of its connection. */
const assertLastWord = Effect.fnUntraced(function* (client: TlsClient, name: string) {
  yield* client.matches(/^HTTP\/1\.1 \d{3}[^]*\r\n\r\n[^]*\n$/)
  client.finish()
  yield* client.ended
  const statuses = [...client.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))
  assert.lengthOf(statuses, 1, name)
  assert.isTrue(statuses[0]! >= 400 && statuses[0]! < 600, `${name}: ${client.text}`)
})

it.live("refuses each request of HTTP/1.1 that two servers could understand differently", () =>
  Effect.gen(function* () {
    for (const target of yield* start) {
      const requests = Object.entries(HTTP1_REQUESTS)
      for (const [i, [name, text]] of requests.entries()) {
        const hostile = yield* connectHttp1(target.address)
        yield* hostile.send(Buffer.from(text, "latin1"))
        yield* assertLastWord(hostile, name)
        yield* assertServed(target, `/good/${i}`)
      }
      assertOnlyGood(target, requests.length)
    }
  })
)

it.live("cuts off a body of HTTP/1.1 whose chunks are none, and begins nothing behind it", () =>
  Effect.gen(function* () {
    for (const target of yield* start) {
      for (const [i, [name, text]] of Object.entries(HTTP1_BODIES).entries()) {
        const hostile = yield* connectHttp1(target.address)
        yield* hostile.send(text)
        yield* assertLastWord(hostile, name)
        yield* assertServed(target, `/good/${i}`)
      }
      assert.notInclude(JSON.stringify(target.backend.seen), "smuggled")
    }
  })
)

it.live("refuses each request of HTTP/2 that would be another one in HTTP/1.1", () =>
  Effect.gen(function* () {
    for (const target of yield* start) {
      const requests = Object.entries(HTTP2_REQUESTS)
      for (const [i, [name, fields]] of requests.entries()) {
        const hostile = yield* connectTls(target.address)
        const { type } = yield* askHttp2(hostile, fields)
        if (type === TYPE.headers) {
          const { status } = yield* target.proxy.request(({ client }) => client === hostile.local)
          assert.isAtLeast(status ?? 0, 400, name)
        }
        yield* assertServed(target, `/good/${i}`)
      }
      assertOnlyGood(target, requests.length)
    }
  })
)

it.live("passes on no field of HTTP/2 that would be two in HTTP/1.1, or none", () =>
  Effect.gen(function* () {
    for (const target of yield* start) {
      for (const [i, field] of Object.values(HTTP2_FIELDS).entries()) {
        const hostile = yield* connectTls(target.address)
        yield* askHttp2(hostile, [...pseudo({ ":path": "/hostile" }), ...field])
        yield* assertServed(target, `/good/${i}`)
      }
      assert.notInclude(JSON.stringify(target.backend.seen).toLowerCase(), "smuggled")
    }
  })
)

/** Asks one request behind the preface, and waits for what comes of it: an answer, or the stream's or connection's end. */
const askHttp2 = Effect.fnUntraced(function* (client: TlsClient, fields: ReadonlyArray<string>) {
  yield* client.send(Buffer.concat([PREFACE, headers(1, fields)]))
  return yield* client.frame("a verdict", isVerdict)
})

const isVerdict = ({ stream, type }: Frame): boolean =>
  type === TYPE.goAway || (stream === 1 && (type === TYPE.headers || type === TYPE.reset))
