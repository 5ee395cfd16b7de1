import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createHttp2, type Http2ServerRequest, type Http2ServerResponse } from "node:http2"
import { connect, createServer } from "node:net"
import { join } from "node:path"
import { formatSocketAddress } from "../../../src/net/SocketAddress.ts"
import { readProxyHeader } from "../../../src/proxyproto/ProxyHeader.ts"
import { listenOn } from "../../l7/backend/World.ts"
import { headers, PREFACE, TYPE } from "../../l7/Http2Frames.ts"
import { pseudo } from "../../l7/Requests.ts"
import { trusted } from "../harness/Certificates.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { startProxyIn } from "../harness/Proxy.ts"
import { l7Route } from "./Combined.ts"
import { connectHttp1, connectTls, type TlsClient } from "./TlsClient.ts"

interface Seen {
  readonly path: string
  /** The client's address by the PROXY header ahead of the connection on which it came. */
  readonly client: string
  readonly fields: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

/** A backend that wants a PROXY header ahead of HTTP, and answers each request with its path. */
const startBackend = Effect.fnUntraced(function* (protocol: "h2" | "http/1.1") {
  const seen: Array<Seen> = []
  /** By the port of the connection behind the header. */
  const clients = new Map<number, string>()
  const answer = (
    { headers: fields, socket, url: path = "" }: IncomingMessage | Http2ServerRequest,
    response: (ServerResponse<IncomingMessage> & { req: IncomingMessage }) | Http2ServerResponse
  ) => {
    seen.push({ path, client: clients.get(socket.remotePort!)!, fields })
    response.end(path)
  }
  const inner = yield* listenOn(protocol === "h2" ? createHttp2(answer) : createHttp1(answer))
  const { accepted, port } = yield* listenOn(
    createServer((socket) => {
      socket.once("data", (bytes: Buffer) => {
        const header = readProxyHeader(bytes)
        assert(header._tag === "Header" && header.client !== undefined)
        const client = formatSocketAddress(header.client)
        const target = connect({ host: "127.0.0.1", port: inner.port }, () => clients.set(target.localPort!, client))
        target.write(bytes.subarray(header.length))
        socket.pipe(target).pipe(socket)
        target.on("error", () => {})
        socket.on("close", () => target.destroy())
      })
    })
  )
  return { address: `127.0.0.1:${port}`, protocol, seen, accepted }
})

/** Asks for a path and waits for the answer, which is the path. `nth` request of the client's, from 0. */
const ask = Effect.fnUntraced(function* (client: TlsClient, name: string, path: string, nth: number) {
  if (client.tls.alpnProtocol !== "h2") {
    yield* client.send(`GET ${path} HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
    return yield* Effect.asVoid(client.matches(new RegExp(`\r\n\r\n(?:\\w+\r\n)?${path}`)))
  }
  const stream = 1 + 2 * nth
  const request = headers(stream, pseudo({ ":authority": name, ":path": path }))
  yield* client.send(nth === 0 ? Buffer.concat([PREFACE, request]) : request)
  const isBody = (frame: { readonly stream: number; readonly type: number; readonly payload: Uint8Array }) =>
    frame.stream === stream && frame.type === TYPE.data && Buffer.from(frame.payload).toString() === path
  yield* client.frame(`an answer to ${path}`, isBody)
})

it.live("tells a backend, over two hops and on L4 as on L7, who each client is, on a connection for each", () =>
  Effect.gen(function* () {
    const backends = [yield* startBackend("http/1.1"), yield* startBackend("h2")]
    const folder = yield* temporaryFolder
    const ca = join(folder, "ca.pem")
    writeFileSync(ca, trusted)
    const ways = ["l4", "l7"].flatMap((mode) =>
      backends.map((backend, i) => ({ mode, backend, name: `${mode}-${i}.test` }))
    )
    const routes = yield* Effect.forEach(ways, ({ backend, name }) => l7Route(folder, name, backend.address))
    const inner = yield* startProxyIn(yield* temporaryFolder, {
      listeners: [
        {
          proxy_protocol: true,
          trusted_proxies: ["127.0.0.1"],
          routes: routes.map((route, i) => ({
            ...route,
            backend_protocol: ways[i]!.backend.protocol,
            send_proxy_protocol: true
          }))
        }
      ]
    })
    const outer = yield* startProxyIn(yield* temporaryFolder, {
      listeners: [
        {
          routes: routes.map((route, i) => {
            const { mode, name } = ways[i]!
            const to = { backend: inner.address, send_proxy_protocol: true }
            const overTls = { backend_tls: true, backend_ca: ca, backend_server_name: name }
            return mode === "l4" ? { hostname: name, ...to } : { ...route, ...to, ...overTls }
          })
        }
      ]
    })

    for (const { backend, mode, name } of ways) {
      const before = { accepted: backend.accepted(), seen: backend.seen.length }
      const clients = [
        yield* connectHttp1(outer.address, { servername: name, from: "127.0.0.21" }),
        yield* connectTls(outer.address, { servername: name, from: "127.0.0.22" })
      ]
      for (const nth of [0, 1]) {
        for (const [i, client] of clients.entries()) yield* ask(client, name, `/${i}/${nth}`, nth)
      }
      assert.strictEqual(backend.accepted() - before.accepted, clients.length, name)
      for (const { client, fields, path } of backend.seen.slice(before.seen)) {
        const asked = clients[Number(path[1])]!
        assert.strictEqual(client, asked.local, name)
        const ip = asked.local.split(":")[0]!
        const { "x-forwarded-for": forwardedFor, "x-real-ip": realIp } = fields
        assert.deepStrictEqual([forwardedFor, realIp], [ip, ip], name)
      }
      assert.lengthOf(backend.seen, before.seen + 4)

      for (const client of clients) {
        client.finish()
        const told = { client: client.local, hostname: name }
        assert.include(yield* outer.accessOf(client), { ...told, peer: client.local, mode, outcome: "done" })
        const line = yield* inner.access((line) => line.client === client.local)
        assert.include(line, { ...told, mode: "l7" })
        assert.match(line.peer, /^127\.0\.0\.1:/)
        const requests = inner.requestLines.filter(({ id }) => id === line.id)
        assert.deepStrictEqual(
          requests.map(({ client, status }) => [client, status]),
          [
            [line.client, 200],
            [line.client, 200]
          ]
        )
      }
    }
  })
)
