import { assert, it, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import type { Scope } from "effect"
import type { IncomingMessage } from "node:http"
import { constants, type ServerHttp2Stream } from "node:http2"
import type { Server } from "node:net"
import type { Duplex } from "node:stream"
import { WebSocket, WebSocketServer } from "ws"
import { KINDS, takeAll, turn, until, type Kind } from "../../l7/backend/World.ts"
import { trusted } from "../harness/Certificates.ts"
import { within } from "../harness/Watch.ts"
import { ask, http2Client, http2Session, NAMES, startSite, type Site } from "./Combined.ts"
import { connectHttp1 } from "./TlsClient.ts"

// A WebSocket echoes what it is told, over whichever of RFC 6455 and RFC 8441 each side speaks.

const sockets = new WebSocketServer({ noServer: true, handleProtocols: (names) => [...names][0] ?? false })
sockets.on("connection", (socket, { url }) => {
  if (url === "/close") socket.close(4001, "enough")
  socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }))
})

/** Those by extended CONNECT. */
const streams = new Set<ServerHttp2Stream>()

/** Gives a server its WebSockets; `/no` is refused. */
const acceptWebSockets = (server: Server): void => {
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, first: Buffer) => {
    if (request.url === "/no") return void socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
    sockets.handleUpgrade(request, socket, first, (accepted) => sockets.emit("connection", accepted, request))
  })
  const [compatible] = server.listeners("stream")
  server.removeAllListeners("stream")
  server.on("stream", (stream: ServerHttp2Stream, headers: Record<string, string>, ...rest: Array<unknown>) => {
    if (headers[":protocol"] !== "websocket") return void compatible?.call(server, stream, headers, ...rest)
    streams.add(stream)
    stream.on("error", () => {}).on("close", () => streams.delete(stream))
    if (headers[":path"] === "/no") {
      stream.respond({ ":status": 403 })
      return void stream.end("no")
    }
    const [protocol] = headers["sec-websocket-protocol"]?.split(",") ?? []
    stream.respond({ ":status": 200, ...(protocol === undefined ? {} : { "sec-websocket-protocol": protocol }) })
    if (headers[":path"] === "/close") return void stream.end(Buffer.from("\x88\x08\x0f\xa1enough", "latin1"))
    stream.on("data", (frame: Buffer) => stream.write(unmasked(frame)))
    stream.on("end", () => stream.end())
  })
}

const UPGRADE = [
  ...["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
]

const MASK = Buffer.from([1, 2, 3, 4])

/** A client's text frame of less than 126 bytes (RFC 6455 5.2). */
const masked = (text: string): Buffer =>
  Buffer.concat([
    Buffer.from([0x81, 0x80 | text.length]),
    MASK,
    Buffer.from(text).map((byte, i) => byte ^ MASK[i % 4]!)
  ])

/** A client's short frame as a server says it. */
const unmasked = (frame: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from([frame[0]!, frame[1]! & 0x7f]),
    frame.subarray(6).map((byte, i) => byte ^ frame[2 + (i % 4)]!)
  ])

class Table extends Context.Service<Table, Site>()("mc-proxy/test/WebSockets") {
  static readonly layer = Layer.effect(
    Table,
    Effect.suspend(() =>
      startSite((request, response) => {
        const body = request.url === "/large" ? LARGE : "plain"
        response.writeHead(200, { "content-length": body.length }).end(body)
      }, acceptWebSockets)
    )
  )
}

/** More than the buffers on the way to a client that does not read. */
const LARGE = Buffer.alloc(8_000_000, "x")

/** A client of `ws`, whose first event is awaited. */
const connect = (site: Site, kind: Kind, path: string) => {
  const name = NAMES[kind.name]!
  const options = { ca: trusted, servername: name, headers: { host: name } }
  return Effect.acquireRelease(
    Effect.callback<{ readonly socket: WebSocket; readonly status: number }>((resume) => {
      const socket = new WebSocket(`wss://127.0.0.1:${site.port}${path}`, ["chat", "other"], options)
      socket.on("error", (error) => resume(Effect.die(error)))
      socket.on("open", () => resume(Effect.succeed({ socket, status: 101 })))
      socket.on("unexpected-response", (_request, { statusCode = 0 }) => {
        resume(Effect.succeed({ socket, status: statusCode }))
      })
    }).pipe(within("a WebSocket")),
    ({ socket }) => Effect.sync(() => socket.terminate())
  )
}

/** Asks for one by extended CONNECT, once the proxy offers that. */
const connectExtended = Effect.fnUntraced(function* (site: Site, kind: Kind, path: string) {
  const name = NAMES[kind.name]!
  // The proxy knows of a backend's offer once it has been there.
  yield* ask(yield* http2Client(site, name))
  const session = yield* http2Session(site, name)
  yield* until(() => session.remoteSettings.enableConnectProtocol === true)
  const stream = session.request(
    {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":authority": name,
      ":path": path,
      "sec-websocket-version": "13",
      "sec-websocket-protocol": "chat"
    },
    { endStream: false }
  )
  stream.on("error", () => {})
  const headers = yield* Effect.callback<Readonly<Record<string, unknown>>>((resume) => {
    stream.on("response", (got) => resume(Effect.succeed(got)))
  }).pipe(within("the answer to an extended CONNECT"))
  return { stream, headers }
})

layer(Table.layer, { excludeTestServices: true })("a WebSocket", (it) => {
  const each = (name: string, check: (site: Site, kind: Kind) => Effect.Effect<void, never, Scope.Scope>) => {
    for (const kind of KINDS) {
      it.effect(`${name}, to ${kind.name}`, () => Effect.flatMap(Table, (site) => check(site, kind)))
    }
  }

  each(
    "by Upgrade carries messages of any size both ways, and its end",
    Effect.fnUntraced(function* (site, kind) {
      const { socket, status } = yield* connect(site, kind, "/echo?a=b")
      assert.deepStrictEqual([status, socket.protocol, socket.extensions], [101, "chat", ""])
      const got: Array<string> = []
      socket.on("message", (message: Buffer) => got.push(message.toString()))
      const messages = ["one", "two", "three".repeat(20)]
      for (const [i, message] of messages.entries()) {
        socket.send(message)
        yield* until(() => got.length === i + 1)
      }
      assert.deepStrictEqual(got, messages)
      if (kind.protocol === "h2") return
      const large = "x".repeat(2_000_000)
      socket.send(large)
      yield* until(() => got.length === 4)
      assert.strictEqual(got[3], large)
      let closed: number | undefined
      socket.on("close", (code) => (closed = code))
      socket.close(4000, "bye")
      yield* until(() => closed !== undefined)
      assert.strictEqual(closed, 4000)
    })
  )

  each(
    "by Upgrade is closed as its backend says",
    Effect.fnUntraced(function* (site, kind) {
      let closed: string | undefined
      const { socket } = yield* connect(site, kind, "/close")
      socket.on("close", (code, reason) => (closed = `${code} ${reason.toString()}`))
      yield* until(() => closed !== undefined)
      assert.strictEqual(closed, "4001 enough")
    })
  )

  each(
    "by Upgrade is refused as its backend says",
    Effect.fnUntraced(function* (site, kind) {
      assert.strictEqual((yield* connect(site, kind, "/no")).status, 403)
    })
  )

  each(
    "by extended CONNECT carries messages both ways, and its end",
    Effect.fnUntraced(function* (site, kind) {
      const { headers, stream } = yield* connectExtended(site, kind, "/echo")
      assert.deepStrictEqual([headers[":status"], headers["sec-websocket-protocol"]], [200, "chat"])
      assert.notProperty(headers, "sec-websocket-accept")
      let got = Buffer.alloc(0)
      stream.on("data", (chunk: Buffer) => (got = Buffer.concat([got, chunk])))
      for (const text of ["one", "two", "three"]) {
        stream.write(masked(text))
        yield* until(() => got.toString("latin1").endsWith(text))
      }
      assert.strictEqual(got.toString("latin1"), "\x81\x03one\x81\x03two\x81\x05three")
      stream.end()
      yield* until(() => stream.readableEnded)
      assert.strictEqual(stream.rstCode, constants.NGHTTP2_NO_ERROR)
    })
  )

  each(
    "by extended CONNECT is refused as its backend says",
    Effect.fnUntraced(function* (site, kind) {
      const { headers, stream } = yield* connectExtended(site, kind, "/no")
      const { bytes } = yield* takeAll(stream)
      assert.deepStrictEqual([headers[":status"], bytes.toString()], [403, "no"])
    })
  )

  each(
    "that is asked for behind a large response waits for all of it, however its client reads",
    Effect.fnUntraced(function* ({ proxy }, kind) {
      const name = NAMES[kind.name]!
      const get = (path: string, ...fields: ReadonlyArray<string>) =>
        Buffer.from([`GET ${path} HTTP/1.1`, `Host: ${name}`, ...fields, "", ""].join("\r\n"))
      const ends = { "/echo": /^HTTP\/1\.1 101 [^]*\r\n\r\n[^]{2}ahead$/, "/no": /^HTTP\/1\.1 403 [^]*\r\n\r\nno$/ }
      for (const [path, end] of Object.entries(ends)) {
        for (const comesLater of [false, true]) {
          const client = yield* connectHttp1(proxy.address, { servername: name })
          client.tls.pause()
          yield* client.send(get("/large"))
          if (comesLater) yield* Effect.replicateEffect(turn, 50, { discard: true })
          yield* client.send(Buffer.concat([get(path, ...UPGRADE), masked("ahead")]))
          if (!comesLater) yield* Effect.replicateEffect(turn, 50, { discard: true })
          client.tls.resume()
          const bodyAt = (yield* client.received(1000)).indexOf("\r\n\r\n") + 4
          yield* client.received(bodyAt + LARGE.length)
          yield* client.until(`the end of ${path}`, (bytes) => {
            const behind = bytes.toString("latin1", bodyAt + LARGE.length)
            return end.test(behind) ? behind : undefined
          })
        }
      }
    }, Effect.orDie)
  )

  each(
    "whose client leaves is gone for its backend",
    Effect.fnUntraced(function* (site, kind) {
      const open = (): number => sockets.clients.size + streams.size
      yield* until(() => open() === 0)
      const { socket } = yield* connect(site, kind, "/echo")
      yield* until(() => open() === 1)
      socket.terminate()
      yield* until(() => open() === 0)
    })
  )
})

it.live("is answered 501 where its backend of HTTP/2 takes none", () =>
  Effect.gen(function* () {
    const site = yield* startSite(
      (_request, response) => void response.end("plain"),
      () => {},
      {},
      false
    )
    for (const kind of KINDS.filter(({ protocol }) => protocol === "h2")) {
      assert.strictEqual((yield* connect(site, kind, "/")).status, 501)
      const name = NAMES[kind.name]!
      yield* ask(yield* http2Client(site, name))
      const session = yield* http2Session(site, name)
      assert.notStrictEqual(session.remoteSettings.enableConnectProtocol, true)
    }
  })
)
