import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ServerResponse } from "node:http"
import type { ServerHttp2Session } from "node:http2"
import type { Server } from "node:net"
import { KINDS, until, type Handler } from "../../l7/backend/World.ts"
import { ask, http2Client, NAMES, startSite } from "./Combined.ts"

const running = new Set<ServerResponse>()

const handler: Handler = (request, response) => {
  running.add(response)
  request.on("error", () => {}).resume()
  response.on("error", () => {}).on("close", () => running.delete(response))
  if (request.url === "/silent") return
  response.write("some")
  if (request.url !== "/forever") setImmediate(() => response.end("more"))
}

it.live("answers a thousand streams of one client at a time, and leaves nothing of a thousand that it cancels", () =>
  Effect.gen(function* () {
    const site = yield* startSite(handler)
    for (const kind of KINDS) {
      const client = yield* http2Client(site, NAMES[kind.name]!)
      const asks = Array.from({ length: 1000 }, () => ask(client))
      const answers = yield* Effect.all(asks, { concurrency: "unbounded" })
      for (const { body, isWhole } of answers) assert.deepStrictEqual([body.toString(), isWhole], ["somemore", true])
      const started = Array.from({ length: 1000 }, () => client.start({ path: "/silent" }))
      yield* until(() => running.size > 0)
      for (const { cancel } of started) cancel()
      yield* until(() => running.size === 0)
      assert.strictEqual((yield* ask(client)).body.toString(), "somemore")
    }
  })
)

it.live("answers every request while its backend goes away again and again", () =>
  Effect.gen(function* () {
    const sessions = new Set<ServerHttp2Session>()
    let served = 0
    const site = yield* startSite(
      (request, response) => {
        response.end("x")
        // They say that they go while requests are on their way, and seldom enough that none meets that twice.
        if (++served % 300 === 0) for (const session of sessions) session.close()
        request.resume()
      },
      (server: Server) => {
        server.on("session", (session: ServerHttp2Session) => {
          sessions.add(session)
          session.on("error", () => {}).on("close", () => sessions.delete(session))
        })
      }
    )
    for (const kind of KINDS.filter(({ protocol }) => protocol === "h2")) {
      const client = yield* http2Client(site, NAMES[kind.name]!)
      const asks = Array.from({ length: 1000 }, () => ask(client))
      const answers = yield* Effect.all(asks, { concurrency: 50 })
      assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))], [200])
      assert.isAbove(site.backends.get(kind)!.accepted(), 1)
    }
  })
)
