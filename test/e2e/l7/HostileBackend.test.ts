import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Socket } from "node:net"
import { FLAG, frame, framesOf, headers, TYPE } from "../../l7/Http2Frames.ts"
import { SERVER } from "../../l7/Requests.ts"
import { startBackend } from "../harness/Backend.ts"
import { startL7 } from "./L7Site.ts"
import { connectHttp1, type TlsClient } from "./TlsClient.ts"

// What a backend's operator, or whoever has broken into it, could say to another site's clients through a shared proxy:
// a response may be refused or cleaned, and is never two, nor the answer to what was asked next.

const EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

/** Responses of HTTP/1.1 as bytes. */
const HTTP1_RESPONSES: Readonly<Record<string, string>> = {
  "a bare CR in a value": "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil\r\nContent-Length: 0\r\n\r\n",
  "a NUL in a value": "HTTP/1.1 200 OK\r\nX: a\0evil\r\nContent-Length: 0\r\n\r\n",
  "a folded line": "HTTP/1.1 200 OK\r\nX: a\r\n Set-Cookie: evil\r\nContent-Length: 0\r\n\r\n",
  "a name with a space": "HTTP/1.1 200 OK\r\nSet-Cookie : evil\r\nContent-Length: 0\r\n\r\n",
  "two lengths": `HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
  "a length and chunks": `HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${EVIL}`,
  "a length below zero": `HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n${EVIL}`,
  "a chunk size with a sign": `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+0\r\n\r\n${EVIL}`,
  "another response behind the first": `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${EVIL}`,
  "another response behind one without a body": `HTTP/1.1 204 No Content\r\n\r\n${EVIL}`,
  "a protocol that nobody asked for": `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n${EVIL}`,
  "a status of two digits": `HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n${EVIL}`,
  "no HTTP": "evil"
}

/** Header blocks of HTTP/2. */
const HTTP2_RESPONSES: Readonly<Record<string, ReadonlyArray<string>>> = {
  "CRLF in a value": [":status", "200", "x", "1\r\nset-cookie: evil"],
  "LF in a value": [":status", "200", "x", "1\nset-cookie: evil"],
  "a whole response in a value": [":status", "200", "x", `1\r\nContent-Length: 0\r\n\r\n${EVIL}`],
  "CRLF in a name": [":status", "200", "x: 1\r\nset-cookie", "evil"],
  "CRLF in the status": [":status", "200 OK\r\nset-cookie: evil"],
  "two statuses": [":status", "200", ":status", "evil"],
  "no status": ["x", "evil"],
  "a request's pseudo-header": [":status", "200", ":path", "/evil"],
  "transfer-encoding": [":status", "200", "transfer-encoding", "evil"],
  "NUL in a value": [":status", "200", "x", "evil\0"]
}

const ask = (client: TlsClient, path: string) => client.send(`GET ${path} HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)

/** The whole first answer, or what came of it. */
const firstAnswer = (client: TlsClient) =>
  client.until("an answer", (bytes, ending) => {
    const text = bytes.toString("latin1")
    const [, head = "", body = ""] = /^([^]*?\r\n\r\n)([^]*)$/.exec(text) ?? []
    const length = /content-length: (\d+)/i.exec(head)?.[1]
    const isWhole =
      / 204 /.test(head) || body.endsWith("0\r\n\r\n") || (length !== undefined && body.length >= Number(length))
    return ending !== undefined || (head !== "" && isWhole) ? text : undefined
  })

it.live("passes no response of HTTP/1.1 on that is two, and keeps nothing of one for the next client", () =>
  Effect.gen(function* () {
    let response = ""
    const backend = yield* startBackend()
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.map(backend.next, ({ socket }) => {
          socket.on("data", (request: Buffer) => {
            const path = request.toString("latin1").split(" ")[1]
            socket.write(path === "/good" ? "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" : response, "latin1")
          })
        })
      )
    )
    const proxy = yield* startL7({ address: backend.address, protocol: "http/1.1" })
    const next = yield* connectHttp1(proxy.address)
    for (const [name, bytes] of Object.entries(HTTP1_RESPONSES)) {
      response = bytes
      const client = yield* connectHttp1(proxy.address)
      yield* ask(client, "/hostile")
      const answer = yield* firstAnswer(client)
      const before = next.length
      yield* ask(next, "/good")
      const text = yield* next.until("the next answer", (all) => {
        const after = all.toString("latin1", before)
        return after.endsWith("good") || after.includes("evil") ? after : undefined
      })
      assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\ngood$/, name)
      assert.strictEqual(answer.match(/HTTP\/1\.1/g)?.length, 1, `${name}: ${answer}`)
      assert.notInclude(client.text, "evil", name)
    }
  })
)

it.live("passes no response of HTTP/2 on that would be two in HTTP/1.1", () =>
  Effect.gen(function* () {
    let response: ReadonlyArray<string> = []
    const backend = yield* startBackend()
    yield* Effect.forkScoped(
      Effect.forever(Effect.map(backend.next, ({ socket }) => answerHttp2(socket, () => response)))
    )
    const proxy = yield* startL7({ address: backend.address, protocol: "h2" })
    for (const [name, fields] of Object.entries(HTTP2_RESPONSES)) {
      response = fields
      const client = yield* connectHttp1(proxy.address)
      yield* ask(client, "/")
      const answer = yield* firstAnswer(client)
      assert.lengthOf(answer.match(/HTTP\/1\.1/g) ?? [], 1, `${name}: ${answer}`)
      assert.notInclude(answer, "evil", name)
    }
  })
)

/** Answers each request with one HEADERS that ends the stream. */
const answerHttp2 = (socket: Socket, response: () => ReadonlyArray<string>): void => {
  let bytes = Buffer.alloc(0)
  let answered = 0
  socket.write(frame(TYPE.settings, FLAG.none, 0))
  socket.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    const requests = framesOf(bytes.subarray(PREFACE_BYTES)).filter(({ type }) => type === TYPE.headers)
    for (const { stream } of requests.slice(answered)) socket.write(headers(stream, response()))
    answered = requests.length
  })
}

const PREFACE_BYTES = 24
