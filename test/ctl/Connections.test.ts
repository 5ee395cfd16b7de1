import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Stream } from "effect"
import { stripVTControlCharacters } from "node:util"
import { Unavailable } from "../../src/admin/AdminError.ts"
import { Connection, type ConnectionEvent } from "../../src/admin/AdminSchema.ts"
import { startAdmin } from "../admin/StubAdmin.ts"
import { ctl } from "./Ctl.ts"

const openedAt = DateTime.makeUnsafe("2026-01-02T03:04:05Z")
const FRESH = Connection.make({
  id: "c1",
  listenerAddr: ":443",
  client: "192.0.2.1:1000",
  peer: "192.0.2.1:1000",
  openedAt
})
const ROUTED = Connection.make({
  ...FRESH,
  id: "c2",
  country: "SE",
  hostname: "a.test",
  backend: "127.0.0.1:18443",
  mode: "l4",
  bytesFromClient: 517,
  bytesFromBackend: 5_000_000
})

describe("connections list", () => {
  it.live("asks for what the flags say", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startAdmin({ listConnections: () => Effect.succeed({ connections: [] }) })
      yield* ctl(socket, ["connections", "list"])
      const flags = ["--listener", ":443", "--hostname", "a.test", "--client", "192.0.2.1", "--limit", "3"]
      yield* ctl(socket, ["connections", "list", ...flags])
      assert.deepStrictEqual(
        asked.map(({ request }) => request),
        [
          { listenerAddr: "", hostname: "", clientIp: "", limit: 0 },
          { listenerAddr: ":443", hostname: "a.test", clientIp: "192.0.2.1", limit: 3 }
        ]
      )
    })
  )

  it.live("shows what is known of each", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({ listConnections: () => Effect.succeed({ connections: [ROUTED, FRESH] }) })
      const { stdout } = yield* ctl(socket, ["connections", "list"])
      const [header, routed, fresh] = stdout.split("\n").map((line) => line.split(/ {2,}/))
      assert.deepStrictEqual(header, [
        "ID",
        "LISTENER",
        "CLIENT",
        "COUNTRY",
        "HOSTNAME",
        "BACKEND",
        "MODE",
        "AGE",
        "FROM CLIENT",
        "FROM BACKEND"
      ])
      const [id, listener, client, country, hostname, backend, mode, age, fromClient, fromBackend] = routed!
      assert.deepStrictEqual(
        [id, listener, client, country, hostname, backend, mode, fromClient, fromBackend],
        ["c2", ":443", "192.0.2.1:1000", "SE", "a.test", "127.0.0.1:18443", "l4", "517 B", "4.8 MiB"]
      )
      assert.match(age!, /^\d+d \d+h$/)
      assert.deepStrictEqual(fresh!.slice(3, 7), ["-", "-", "-", "-"])
      const narrow = (yield* ctl(socket, ["connections", "list"], { width: 60 })).stdout.trimEnd().split("\n")
      assert.isTrue(narrow.every((line) => line.length <= 60))
    })
  )
})

const EVENTS: ReadonlyArray<ConnectionEvent> = [
  { event: "opened", connection: FRESH, outcome: "", dropped: 0 },
  { event: "dropped", outcome: "", dropped: 12 },
  { event: "closed", connection: ROUTED, outcome: "done", dropped: 0 }
]

describe("connections watch", () => {
  it.live("prints a line for each event, and says how many were lost", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({ watchConnections: () => Stream.fromIterable(EVENTS) })
      assert.strictEqual(
        (yield* ctl(socket, ["connections", "watch"])).stdout,
        "opened id=c1 listener=:443 client=192.0.2.1:1000\n" +
          "12 events lost: this watch was too slow for them\n" +
          "closed id=c2 listener=:443 client=192.0.2.1:1000 country=SE hostname=a.test backend=127.0.0.1:18443 mode=l4" +
          " outcome=done from_client=517 from_backend=5000000\n"
      )
    })
  )

  it.live("is aligned on a terminal, within its width, and colored by the outcome", () =>
    Effect.gen(function* () {
      const blocked = { event: "closed", connection: FRESH, outcome: "blocked_ip", dropped: 0 } as const
      const { socket } = yield* startAdmin({ watchConnections: () => Stream.fromIterable([...EVENTS, blocked]) })
      const linesAt = (width: number) =>
        Effect.map(ctl(socket, ["connections", "watch"], { width }), ({ stdout }) => stdout.trimEnd().split("\n"))

      const painted = yield* linesAt(160)
      const startOf = (line: string) => line.slice(0, line.indexOf("m") + 1)
      assert.deepStrictEqual(
        painted.map(startOf),
        [2, 2, 33, 32, 33].map((color) => `\u001b[${color}m`)
      )
      const plain = painted.map(stripVTControlCharacters)
      const column = plain[0]!.indexOf("HOSTNAME")
      assert.strictEqual(plain[3]!.indexOf("a.test"), column)
      assert.match(plain[3]!, /^done +192\.0\.2\.1:1000 +a\.test +127\.0\.0\.1:18443 .* 517 B +4\.8 MiB +c2$/)
      assert.match(plain[4]!, /^blocked_ip +192\.0\.2\.1:1000 /)
      for (const line of (yield* linesAt(80)).map(stripVTControlCharacters)) assert.isAtMost(line.length, 80)
    })
  )

  it.live("prints an object a line for scripts", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({ watchConnections: () => Stream.fromIterable(EVENTS) })
      const { stdout } = yield* ctl(socket, ["connections", "watch", "--json"])
      const objects = stdout
        .trimEnd()
        .split("\n")
        .map((line): unknown => JSON.parse(line))
      assert.deepInclude(objects[1], { event: "EVENT_DROPPED", dropped: "12", outcome: "" })
      assert.deepInclude(objects[2], { event: "EVENT_CLOSED", outcome: "done" })
      assert.strictEqual(objects.length, 3)
    })
  )

  it.live("fails when the proxy ends it", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({
        watchConnections: () =>
          Stream.concat(Stream.fromIterable(EVENTS.slice(0, 1)), Stream.fail(new Unavailable({ message: "draining" })))
      })
      const { failure, stdout } = yield* ctl(socket, ["connections", "watch"])
      assert.strictEqual(failure, "draining")
      assert.match(stdout, /^opened [^\n]*\n$/)
    })
  )
})

describe("connections close", () => {
  it.live("names the connection", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startAdmin({ closeConnection: () => Effect.succeed({}) })
      assert.strictEqual((yield* ctl(socket, ["connections", "close", "c1"])).stdout, "closed c1\n")
      assert.deepStrictEqual(asked, [{ operation: "closeConnection", request: { id: "c1" } }])
    })
  )
})
