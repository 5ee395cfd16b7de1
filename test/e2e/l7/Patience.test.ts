import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect as openSession, type ClientHttp2Session, type ServerHttp2Stream } from "node:http2"
import { FLAG, framesOf, headers, PREFACE, resetStream, TYPE } from "../../l7/Http2Frames.ts"
import { pseudo, SERVER } from "../../l7/Requests.ts"
import { trusted } from "../harness/Certificates.ts"
import { scrape } from "../harness/Scrape.ts"
import { within } from "../harness/Watch.ts"
import { startHttp1Backend, startHttp2Backend } from "./HttpBackend.ts"
import { startL7 } from "./L7Site.ts"
import { connectTls, type TlsClient } from "./TlsClient.ts"

// The other side of each limit: what honest clients do a lot of, on one connection that has to outlive it.

/** Streams of one connection that are open at a time, as many as the proxy announces. */
const STREAMS_MAX = 128

/** The streams of round `round`. */
const streamsOf = (round: number): ReadonlyArray<number> =>
  Array.from({ length: STREAMS_MAX }, (_, i) => 2 * (round * STREAMS_MAX + i) + 1)

const begin = (client: TlsClient, round: number, path: string) =>
  client.send(Buffer.concat(streamsOf(round).map((stream) => headers(stream, pseudo({ ":path": path })))))

/** How many streams have begun to be answered. */
const answered = (bytes: Buffer): number => framesOf(bytes).filter(({ type }) => type === TYPE.headers).length

/** How many streams have been answered to the end, and so may be followed by others. */
const finished = (bytes: Buffer): number =>
  framesOf(bytes).filter(({ flags, type }) => type === TYPE.data && (flags & FLAG.endStream) !== 0).length

const cancel = (client: TlsClient, round: number) =>
  client.send(Buffer.concat(streamsOf(round).map((stream) => resetStream(stream))))

/** The connection is asked once more, and answers. */
const assertAlive = Effect.fnUntraced(function* (client: TlsClient, round: number) {
  const stream = streamsOf(round)[0]!
  yield* client.send(headers(stream, pseudo({ ":path": "/good" })))
  yield* client.frame("an answer", (told) => told.stream === stream && told.type === TYPE.headers)
  assert.isFalse(framesOf(client.bytes).some(({ type }) => type === TYPE.goAway))
  assert.isUndefined(client.ending)
})

/** Answers `/good`; begins an answer to `/begun`, and none to anything else. */
const startSlowBackend = startHttp2Backend((stream, path) => {
  if (path === "/silent") return
  stream.respond({ ":status": 200 })
  if (path === "/good") stream.end()
})

it.live("lets a client cancel any number of requests whose answers have begun", () =>
  Effect.gen(function* () {
    const proxy = yield* startL7(yield* startSlowBackend)
    const client = yield* connectTls(proxy.address)
    yield* client.send(PREFACE)
    const rounds = 20
    for (let round = 0; round < rounds; round++) {
      yield* begin(client, round, "/begun")
      yield* client.until("answers", (bytes) => answered(bytes) >= (round + 1) * STREAMS_MAX || undefined)
      yield* cancel(client, round)
    }
    yield* assertAlive(client, rounds)
  })
)

it.live("lets a client cancel all it has asked of a stalled backend, some times over", () =>
  Effect.gen(function* () {
    const backend = yield* startSlowBackend
    const proxy = yield* startL7(backend)
    const client = yield* connectTls(proxy.address)
    yield* client.send(PREFACE)
    const rounds = 8
    for (let round = 0; round < rounds; round++) {
      yield* begin(client, round, "/silent")
      yield* backend.sawAtLeast((round + 1) * STREAMS_MAX)
      yield* cancel(client, round)
    }
    yield* assertAlive(client, rounds)
  })
)

it.live("answers all streams of a connection whose backend is late, and serves it on", () =>
  Effect.gen(function* () {
    const backend = yield* startHttp1Backend((request, response) => {
      if (request.url === "/good") response.end()
    })
    const proxy = yield* startL7(backend, { proxy: { response_timeout: "1s" } })
    const client = yield* connectTls(proxy.address)
    yield* client.send(PREFACE)
    const rounds = 2
    for (let round = 0; round < rounds; round++) {
      yield* begin(client, round, "/silent")
      yield* client.until("answers", (bytes) => finished(bytes) >= (round + 1) * STREAMS_MAX || undefined)
    }
    const page = yield* scrape(proxy)
    assert.deepStrictEqual(page.of("mcproxy_l7_responses_total"), {
      [`{hostname="${SERVER}",code="504"}`]: rounds * STREAMS_MAX
    })
    yield* assertAlive(client, rounds)
  })
)

it.live("lets a client measure the way with a PING for each message that it reads, as gRPC does", () =>
  Effect.gen(function* () {
    const proxy = yield* startL7(yield* startHttp2Backend(echo))
    const session = yield* Effect.acquireRelease(
      Effect.sync(() => openSession(`https://${proxy.address}`, { servername: SERVER, ca: trusted })),
      (opened) => Effect.sync(() => opened.destroy())
    )
    const { answeredPings, goAways } = yield* converse(session).pipe(within("the conversation"))
    assert.strictEqual(answeredPings, MESSAGES)
    assert.deepStrictEqual(goAways, [])
  })
)

const echo = (stream: ServerHttp2Stream) => {
  stream.respond({ ":status": 200 })
  stream.pipe(stream)
}

/** More than the PINGs that one who only pings may send at once and in the seconds that this takes. */
const MESSAGES = 3000
const MESSAGE = Buffer.alloc(100)

/** Sends a message whenever one has come back, and a PING beside it. */
const converse = (session: ClientHttp2Session) =>
  Effect.callback<{ readonly answeredPings: number; readonly goAways: ReadonlyArray<number> }>((resume) => {
    const goAways: Array<number> = []
    let answeredPings = 0
    let read = 0
    session.on("goaway", (code: number) => goAways.push(code)).on("error", () => {})
    session.on("close", () => resume(Effect.succeed({ answeredPings, goAways })))
    const stream = session.request({ ":method": "POST", ":authority": SERVER })
    stream.on("error", () => {}).on("close", () => session.close())
    stream.on("data", () => {
      session.ping(() => answeredPings++)
      if (++read < MESSAGES) stream.write(MESSAGE)
      else stream.end()
    })
    stream.write(MESSAGE)
  })
