import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { constants } from "node:http2"
import { framesOf, headers, PREFACE, TYPE } from "../../l7/Http2Frames.ts"
import { pseudo, SERVER } from "../../l7/Requests.ts"
import { grpcAdmin } from "../harness/Admin.ts"
import type { Fields } from "../../../src/l7/Message.ts"
import { scrape } from "../harness/Scrape.ts"
import { startHeldBackend } from "./HeldBackend.ts"
import { startHttp1Backend } from "./HttpBackend.ts"
import { pairFor, startL7 } from "./L7Site.ts"
import { connectHttp1, connectTls, type TlsClient } from "./TlsClient.ts"

// What changes under connections that live: by the admin API, and by the signal to stop.

const LISTENER = "127.0.0.1:0"
const SITE = { listener_addr: LISTENER, hostname: SERVER }

/** Asks on HTTP/1.1; gives the answer, which is the last thing on the connection so far. */
const ask = Effect.fnUntraced(function* (client: TlsClient, path: string, ...fields: ReadonlyArray<string>) {
  const before = client.length
  yield* client.send([`GET ${path} HTTP/1.1`, `Host: ${SERVER}`, ...fields, "", ""].join("\r\n"))
  return yield* answerFrom(client, before)
})

/** An answer is whole behind its head and body, each of which ends in a way of its own here. */
const answerFrom = (client: TlsClient, before: number) =>
  client.until("an answer", (bytes, ending) => {
    const text = bytes.toString("latin1", before)
    const isWhole = /^HTTP[^]*\r\n\r\n[^]+$/.test(text) && /(?:\n|\/good|released|0\r\n\r\n)$/.test(text)
    return ending !== undefined || isWhole ? text : undefined
  })

const begin2 = (client: TlsClient, stream: number, path: string, fields: Fields = []) =>
  client.send(headers(stream, [...pseudo({ ":path": path }), ...fields]))

const answered2 = (client: TlsClient, stream: number) =>
  client.frame(`an answer on ${stream}`, (told) => told.stream === stream && told.type === TYPE.headers)

const goAways = (client: TlsClient) =>
  framesOf(client.bytes)
    .filter(({ type }) => type === TYPE.goAway)
    .map(({ payload }) => ({ lastStream: payload.readUInt32BE(0), code: payload.readUInt32BE(4) }))

it.live("applies a policy of the admin API to the next request of connections that live", () =>
  Effect.gen(function* () {
    const proxy = yield* startL7(yield* startHttp1Backend())
    const admin = yield* grpcAdmin(proxy)
    const one = yield* connectHttp1(proxy.address)
    const two = yield* connectTls(proxy.address)
    yield* two.send(PREFACE)
    assert.match(yield* ask(one, "/good", "User-Agent: a BADBOT"), /^HTTP\/1\.1 200 /)
    yield* begin2(two, 1, "/good", ["user-agent", "badbot"])
    yield* answered2(two, 1)

    const policy = { type: "L7_POLICY_TYPE_BLOCK_USER_AGENT", value: "BadBot" }
    yield* admin("AddL7Policy", { ...SITE, policy })
    assert.match(yield* ask(one, "/good", "User-Agent: a BADBOT"), /^HTTP\/1\.1 403 /)
    yield* begin2(two, 3, "/blocked", ["user-agent", "badbot"])
    yield* answered2(two, 3)
    assert.strictEqual((yield* proxy.request(({ path }) => path === "/blocked")).status, 403)
    assert.match(yield* ask(one, "/good", "User-Agent: a person"), /^HTTP\/1\.1 200 /)

    yield* admin("RemoveL7Policy", { ...SITE, policy })
    assert.match(yield* ask(one, "/good", "User-Agent: a BADBOT"), /^HTTP\/1\.1 200 /)
    const page = yield* scrape(proxy)
    assert.deepStrictEqual(page.of("mcproxy_l7_policy_blocked_total"), {
      [`{hostname="${SERVER}",type="block_user_agent"}`]: 2
    })
    assert.deepStrictEqual(page.of("mcproxy_l7_responses_total"), {
      [`{hostname="${SERVER}",code="200"}`]: 4,
      [`{hostname="${SERVER}",code="403"}`]: 2
    })
  })
)

/** Four connections: of each version one with a request that the backend holds, and one that has been served. */
const openFour = Effect.fnUntraced(function* () {
  const backend = yield* startHeldBackend
  const proxy = yield* startL7(backend)
  const [busy1, idle1] = [yield* connectHttp1(proxy.address), yield* connectHttp1(proxy.address)]
  const [busy2, idle2] = [yield* connectTls(proxy.address), yield* connectTls(proxy.address)]
  yield* ask(idle1, "/good")
  yield* idle2.send(PREFACE)
  yield* begin2(idle2, 1, "/good")
  yield* answered2(idle2, 1)
  yield* busy2.send(PREFACE)
  yield* begin2(busy2, 1, "/held")
  yield* busy1.send(`GET /held HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
  yield* backend.holds(2)

  /** Those without a request are gone at once, the others when they have been answered; none is cut off. */
  const assertFinished = Effect.gen(function* () {
    yield* idle1.ended
    yield* idle2.ended
    yield* busy2.frame("GOAWAY", ({ type }) => type === TYPE.goAway)
    assert.isUndefined(busy1.ending)
    assert.isUndefined(busy2.ending)
    backend.release()
    const answer = yield* answerFrom(busy1, 0)
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*released/)
    assert.match(answer, /\r\nconnection: close\r\n/i)
    yield* answered2(busy2, 1)
    for (const client of [idle1, idle2, busy1, busy2]) {
      assert.strictEqual(yield* client.ended, "fin")
      assert.strictEqual((yield* proxy.accessOf(client)).outcome, "done")
    }
    assert.isTrue(framesOf(busy2.bytes).some(({ payload, type }) => type === TYPE.data && payload.includes("released")))
    for (const client of [idle2, busy2]) {
      assert.deepStrictEqual(goAways(client).at(-1), { lastStream: 1, code: constants.NGHTTP2_NO_ERROR })
    }
  })
  return { proxy, assertFinished }
})

it.live("lets connections of a route that is removed finish, and refuses new ones", () =>
  Effect.gen(function* () {
    const { assertFinished, proxy } = yield* openFour()
    const admin = yield* grpcAdmin(proxy)
    yield* admin("RemoveRoute", SITE)
    yield* assertFinished
    assert.strictEqual((yield* Effect.flip(connectHttp1(proxy.address))).code, "ECONNRESET")
    assert.strictEqual((yield* proxy.access()).outcome, "no_route")
  })
)

it.live("lets connections of a route that is replaced finish, and takes new ones to the new backend", () =>
  Effect.gen(function* () {
    const { assertFinished, proxy } = yield* openFour()
    const admin = yield* grpcAdmin(proxy)
    const backend = yield* startHttp1Backend()
    const files = yield* pairFor(SERVER)
    const kind = { mode: "ROUTE_MODE_L7", backend_protocol: "BACKEND_PROTOCOL_HTTP1" }
    const route = { hostname: SERVER, backend: backend.address, ...kind, ...files }
    yield* admin("AddRoute", { listener_addr: LISTENER, route })
    yield* assertFinished
    assert.match(yield* ask(yield* connectHttp1(proxy.address), "/good"), /^HTTP\/1\.1 200 /)
    assert.lengthOf(backend.seen, 1)
  })
)

it.live("lets connections finish at SIGTERM, and exits 0", () =>
  Effect.gen(function* () {
    const { assertFinished, proxy } = yield* openFour()
    proxy.signal("SIGTERM")
    yield* proxy.logged("draining")
    yield* assertFinished
    assert.deepStrictEqual(yield* proxy.ended, { code: 0, signal: null })
    assert.include(yield* proxy.logged("stopped"), { reset: 0 })
  })
)

it.live("resets at the deadline what has not finished by then", () =>
  Effect.gen(function* () {
    const backend = yield* startHeldBackend
    const proxy = yield* startL7(backend, { proxy: { shutdown_timeout: "1s" } })
    const one = yield* connectHttp1(proxy.address)
    yield* one.send(`GET /held HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
    const two = yield* connectTls(proxy.address)
    yield* two.send(PREFACE)
    yield* begin2(two, 1, "/held")
    yield* backend.holds(2)
    assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
    for (const client of [one, two]) {
      assert.strictEqual(yield* client.ended, "reset")
      assert.strictEqual((yield* proxy.accessOf(client)).outcome, "shutdown")
    }
    assert.include(yield* proxy.logged("stopped"), { reset: 2 })
  })
)
