import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as http from "node:http"
import * as http2 from "node:http2"
import type { AddressInfo, Server } from "node:net"
import { readHttp1Request } from "../../src/l7/Http1Request.ts"
import { readHttp2Request } from "../../src/l7/Http2Request.ts"
import type { RequestRead } from "../../src/l7/RequestRead.ts"
import { connect } from "../e2e/harness/Wire.ts"
import { HTTP1_BODIES, HTTP1_REQUESTS, HTTP2_FIELDS, HTTP2_REQUESTS } from "./HostileRequests.ts"
import { framesOf, frame, headers, PREFACE, FLAG, TYPE } from "./Http2Frames.ts"
import { pseudo, SERVER } from "./Requests.ts"

// Node's parsers and ours, one behind the other as in the proxy: what the first lets pass the second has to refuse.

const listen = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<string>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(`127.0.0.1:${(server.address() as AddressInfo).port}`)))
    }),
    () => Effect.sync(() => server.close())
  )

/** Verdicts on all that came through Node's parser, in its order. */
const startHttp1 = Effect.gen(function* () {
  const reads: Array<RequestRead> = []
  const requests: Array<http.IncomingMessage> = []
  const server = http.createServer({ insecureHTTPParser: false }, (request, response) => {
    const read = readHttp1Request(request, SERVER)
    reads.push(read)
    requests.push(request.on("error", () => {}).resume())
    response.writeHead(read._tag === "Request" ? 200 : read.status, { connection: "close" }).end()
  })
  server.maxHeadersCount = 0
  return { address: yield* listen(server), reads, requests }
})

const startHttp2 = Effect.gen(function* () {
  const reads: Array<RequestRead> = []
  const server = http2.createServer({ maxHeaderListPairs: 2100, settings: { enableConnectProtocol: true } })
  server.on(
    "stream",
    (stream: http2.ServerHttp2Stream, _headers: http2.IncomingHttpHeaders, flags: number, raw: Array<string>) => {
      stream.on("error", () => {})
      const read = readHttp2Request(raw, (flags & FLAG.endStream) !== 0, SERVER)
      reads.push(read)
      stream.respond([":status", String(read._tag === "Request" ? 200 : read.status)], { endStream: true })
    }
  )
  return { address: yield* listen(server), reads }
})

/** Sends one request's HEADERS behind the preface, and waits until it has been dealt with. */
const sendHttp2 = Effect.fnUntraced(function* (address: string, fields: ReadonlyArray<string>) {
  const client = yield* connect(address)
  yield* client.send(Buffer.concat([PREFACE, headers(1, fields), frame(TYPE.ping, FLAG.none, 0, Buffer.alloc(8))]))
  const isAnswer = (type: number, flags: number) =>
    type === TYPE.goAway || (type === TYPE.ping && (flags & FLAG.ack) !== 0)
  while (!framesOf(client.bytes).some(({ flags, type }) => isAnswer(type, flags))) {
    yield* client.received(client.length + 1)
  }
})

const accepted = (reads: ReadonlyArray<RequestRead>) =>
  reads.flatMap((read) => (read._tag === "Request" ? [read.head] : []))

describe("HTTP/1.1", () => {
  for (const [name, text] of Object.entries(HTTP1_REQUESTS)) {
    it.live(`with ${name} is refused, and all that follows it`, () =>
      Effect.gen(function* () {
        const { address, reads } = yield* startHttp1
        const client = yield* connect(address)
        yield* client.send(Buffer.from(text, "latin1"))
        client.finish()
        yield* client.ended
        assert.deepStrictEqual(accepted(reads), [])
      })
    )
  }

  for (const [name, text] of Object.entries(HTTP1_BODIES)) {
    it.live(`with ${name} never comes to its end, nor does anything behind it begin`, () =>
      Effect.gen(function* () {
        const { address, reads, requests } = yield* startHttp1
        const client = yield* connect(address)
        yield* client.send(text)
        client.finish()
        yield* client.ended
        assert.deepStrictEqual(
          accepted(reads).map(({ path }) => path),
          ["/"]
        )
        assert.deepStrictEqual(
          requests.map(({ complete }) => complete),
          [false]
        )
      })
    )
  }

  it.live("reaches a backend where nothing is wrong with it", () =>
    Effect.gen(function* () {
      const { address, reads } = yield* startHttp1
      const client = yield* connect(address)
      yield* client.send(`GET / HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
      yield* client.ended
      assert.lengthOf(accepted(reads), 1)
    })
  )
})

describe("HTTP/2", () => {
  for (const [name, fields] of Object.entries(HTTP2_REQUESTS)) {
    it.live(`with ${name} is refused`, () =>
      Effect.gen(function* () {
        const { address, reads } = yield* startHttp2
        yield* sendHttp2(address, fields)
        assert.deepStrictEqual(accepted(reads), [])
      })
    )
  }

  for (const [name, field] of Object.entries(HTTP2_FIELDS)) {
    it.live(`passes nothing on of a field with ${name}`, () =>
      Effect.gen(function* () {
        const { address, reads } = yield* startHttp2
        yield* sendHttp2(address, [...pseudo(), ...field])
        assert.notInclude(JSON.stringify(accepted(reads)), "smuggled")
      })
    )
  }

  it.live("reaches a backend where nothing is wrong with it", () =>
    Effect.gen(function* () {
      const { address, reads } = yield* startHttp2
      yield* sendHttp2(address, [...pseudo(), "x", "1"])
      assert.lengthOf(accepted(reads), 1)
    })
  )
})
