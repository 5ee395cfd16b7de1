import { assert, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import type { ServerResponse } from "node:http"
import { connect as connectTcp } from "node:net"
import { connect as connectTls } from "node:tls"
import { KINDS, until, type Handler } from "../../l7/backend/World.ts"
import { FLAG, frame, headers, PREFACE, TYPE } from "../../l7/Http2Frames.ts"
import { pseudo } from "../../l7/Requests.ts"
import { trusted } from "../harness/Certificates.ts"
import { scrape } from "../harness/Scrape.ts"
import { descriptorsOf } from "../load/ProcessState.ts"
import { ask, CLIENTS, http2Client, NAMES, startSite, type Site } from "./Combined.ts"
import { assertIdle } from "./Leftovers.ts"
import { connectHttp1, helloFor } from "./TlsClient.ts"

const running = new Set<ServerResponse>()

const handler: Handler = (request, response) => {
  running.add(response)
  request.on("error", () => {}).resume()
  response.on("error", () => {}).on("close", () => running.delete(response))
  if (request.url === "/silent") return
  response.write("some")
  if (request.url !== "/forever") setImmediate(() => response.end("more"))
}

/** How far a connection comes, and how it is dropped there. */
interface Moment {
  readonly stage: "connected" | "hello" | "handshake" | "request"
  /** From nothing to all of what the stage sends. */
  readonly share: number
  /** Of the event loop, before it is dropped. */
  readonly turns: number
  readonly end: "destroy" | "fin" | "reset"
  readonly version: "h2" | "http/1.1"
  readonly path: string
}

const moment: Effect.Effect<Moment> = Effect.gen(function* () {
  return {
    stage: stageAt(yield* Random.next),
    share: yield* Random.choice([1, yield* Random.next]),
    turns: yield* Random.nextIntBetween(0, 30),
    end: yield* Random.choice(["destroy", "fin", "reset"] as const),
    version: yield* Random.choice(["h2", "http/1.1"] as const),
    path: yield* Random.choice(["/", "/silent", "/forever"])
  }
}).pipe(Effect.orDie)

const stageAt = (draw: number): Moment["stage"] =>
  draw < 0.25 ? "connected" : draw < 0.6 ? "hello" : draw < 0.75 ? "handshake" : "request"

/** What a route's clients begin with: a first flight as it is, and a session to resume, which saves both sides work. */
const introduce = Effect.fnUntraced(function* ({ proxy }: Site, name: string) {
  const client = yield* connectHttp1(proxy.address, { servername: name })
  yield* client.send(`GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
  yield* client.matches(/more/)
  return { name, hello: yield* helloFor(name, ["h2", "http/1.1"]), session: client.tickets.at(-1)! }
})

type Introduction = Effect.Success<ReturnType<typeof introduce>>

const requestOf = ({ path, version }: Moment, name: string): Buffer => {
  if (version === "http/1.1") {
    const head = `POST ${path} HTTP/1.1\r\nHost: ${name}\r\nTransfer-Encoding: chunked\r\n\r\n`
    return Buffer.from(`${head}4\r\nbody\r\n0\r\n\r\nGET ${path} HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
  }
  const fields = pseudo({ ":authority": name, ":path": path })
  const streams = [1, 3, 5].map((stream) => headers(stream, fields))
  return Buffer.concat([PREFACE, ...streams, headers(7, fields, FLAG.none), frame(TYPE.data, FLAG.none, 7, PREFACE)])
}

/** Connects, and completes when the connection is gone. */
const drop = ({ port }: Site, { hello, name, session }: Introduction, moment: Moment): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const { end, share, stage, turns, version } = moment
    const socket = connectTcp({ host: "127.0.0.1", port })
    socket.on("error", () => {}).on("close", () => resume(Effect.void))
    const leave = (left = turns): void => {
      if (left > 0) setImmediate(() => leave(left - 1))
      else if (end === "destroy") socket.destroy()
      else if (end === "reset") socket.resetAndDestroy()
      // The proxy is to close as well.
      else socket.end().resume()
    }
    const part = (bytes: Buffer) => bytes.subarray(0, Math.ceil(bytes.length * share))
    if (stage === "connected") return void socket.once("connect", () => leave())
    if (stage === "hello") {
      return void socket.once("connect", () => {
        socket.write(part(hello))
        leave()
      })
    }
    const tls = connectTls({ socket, servername: name, ca: trusted, session, ALPNProtocols: [version] })
    tls.on("error", () => {}).resume()
    if (stage === "handshake") return void socket.once("connect", () => leave())
    tls.once("secureConnect", () => {
      tls.write(part(requestOf(moment, name)))
      leave()
    })
  })

const COUNT = 10_000
const AT_ONCE = 64

it.live(
  "leaves nothing of ten thousand connections that are dropped at random moments",
  () =>
    Effect.gen(function* () {
      const site = yield* startSite(handler)
      const names = KINDS.map(({ name }) => NAMES[name]!)
      for (const name of names) {
        for (const connect of CLIENTS)
          yield* Effect.scoped(Effect.flatMap(connect(site, name), (client) => ask(client)))
      }
      const introductions = yield* Effect.scoped(Effect.forEach(names, (name) => introduce(site, name)))
      const before = descriptorsOf(site.proxy.program.pid)
      const one = Effect.gen(function* () {
        yield* drop(site, yield* Random.choice(introductions), yield* moment)
      })
      yield* Effect.replicateEffect(one, COUNT, { concurrency: AT_ONCE, discard: true })
      yield* until(() => running.size === 0)
      // Idle connections to backends may be there, as many as were needed at a time.
      yield* assertIdle(site.proxy, before + AT_ONCE * 2)
      const page = yield* scrape(site.proxy)
      const others = names.length * (CLIENTS.length + 1)
      assert.strictEqual(page.get('mcproxy_connections_total{listener="127.0.0.1:0"}'), COUNT + others)
      const closed = page.of("mcproxy_connections_closed_total")
      for (const outcome of ["client_closed", "handshake_failed", "reset", "done"]) {
        assert.isAbove(closed[`{listener="127.0.0.1:0",outcome="${outcome}"}`] ?? 0, COUNT / 50, outcome)
      }
      const client = yield* http2Client(site, NAMES["h2c"]!)
      assert.strictEqual((yield* ask(client)).body.toString(), "somemore")
    }).pipe(Random.withSeed("leaks")),
  90_000
)
