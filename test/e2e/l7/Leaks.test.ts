import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { readdirSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { connect as connectTcp } from "node:net"
import { connect as connectTls } from "node:tls"
import { KINDS, until, type Handler } from "../../l7/backend/World.ts"
import { trusted } from "../harness/Certificates.ts"
import { scrape } from "../harness/Scrape.ts"
import { ask, CLIENTS, http2Client, NAMES, startSite, type Site } from "./Combined.ts"

/** The sockets that the proxy has open, whichever they are. */
const openFiles = ({ proxy }: Site): number => readdirSync(`/proc/${proxy.program.pid}/fd`).length

/** Waits until the proxy serves nobody, and has no more open than `filesMax`. */
const assertIdle = Effect.fnUntraced(function* (site: Site, filesMax: number) {
  const look = Effect.gen(function* () {
    const page = yield* scrape(site.proxy)
    const active = [...page.values].filter(([name]) => name.startsWith("mcproxy_connections_active"))
    return { active: active.reduce((sum, [, count]) => sum + count, 0), files: openFiles(site) }
  })
  const isIdle = ({ active, files }: { readonly active: number; readonly files: number }) =>
    active === 0 && files <= filesMax
  const last = yield* Effect.repeat(look, {
    until: isIdle,
    schedule: Schedule.spaced("50 millis"),
    times: 200
  })
  assert.isTrue(isIdle(last), `${last.active} connections, ${last.files} files of ${filesMax}`)
})

const running = new Set<ServerResponse>()

const handler: Handler = (request, response) => {
  running.add(response)
  request.on("error", () => {}).resume()
  response.on("error", () => {}).on("close", () => running.delete(response))
  if (request.url === "/silent") return
  response.write("some")
  if (request.url !== "/forever") setImmediate(() => response.end("more"))
}

it.live(
  "leaves nothing of two thousand connections that are dropped at any moment",
  () =>
    Effect.gen(function* () {
      const site = yield* startSite(handler)
      for (const connect of CLIENTS) {
        for (const kind of KINDS) {
          yield* Effect.scoped(Effect.flatMap(connect(site, NAMES[kind.name]!), (client) => ask(client)))
        }
      }
      const before = openFiles(site)
      // What is sent in the clear text of HTTP/1.1 before the connection is dropped; with TLS or without any.
      const drop = (i: number) =>
        Effect.callback<void>((resume) => {
          const name = NAMES[KINDS[i % KINDS.length]!.name]!
          const socket = connectTcp({ host: "127.0.0.1", port: site.port })
          socket.on("error", () => {}).on("close", () => resume(Effect.void))
          const leave = (turns: number): void => {
            if (turns > 0) setImmediate(() => leave(turns - 1))
            else if (i % 2 === 0) socket.resetAndDestroy()
            else socket.destroy()
          }
          if (i % 5 === 0) return void socket.once("connect", () => leave(i % 7))
          const ALPNProtocols = [i % 3 === 0 ? "h2" : "http/1.1"]
          const tls = connectTls({ socket, servername: name, ca: trusted, ALPNProtocols })
          tls.on("error", () => {})
          if (i % 5 === 1) return leave(i % 23)
          tls.once("secureConnect", () => {
            const path = ["/", "/silent", "/forever"][i % 3]!
            tls.write(
              i % 3 === 0 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : `GET ${path} HTTP/1.1\r\nHost: ${name}\r\n\r\n`
            )
            leave(i % 29)
          })
        })
      yield* Effect.forEach(
        Array.from({ length: 2_000 }, (_, i) => i),
        drop,
        { concurrency: 64, discard: true }
      )
      yield* until(() => running.size === 0)
      // Idle connections to backends may be there, as many as were needed at a time.
      yield* assertIdle(site, before + 64 * 2)
      const client = yield* http2Client(site, NAMES["h2c"]!)
      assert.strictEqual((yield* ask(client)).body.toString(), "somemore")
    }),
  90_000
)
