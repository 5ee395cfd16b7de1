import { assert, describe, it } from "@effect/vitest"
import { DateTime, Deferred, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { writeFileSync } from "node:fs"
import { createServer as createHttpServer } from "node:http"
import { createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import { AdminClient } from "../../src/admin/AdminClient.ts"
import { type AdminError, AlreadyExists, NotFound } from "../../src/admin/AdminError.ts"
import { AdminUnreachable, type UnreachableReason } from "../../src/admin/AdminUnreachable.ts"
import { temporaryFolder } from "../e2e/harness/Folder.ts"
import { startAdmin } from "./StubAdmin.ts"

const at = <A, E, R>(socket: string, use: (admin: AdminClient["Service"]) => Effect.Effect<A, E, R>) =>
  Effect.provide(Effect.flatMap(AdminClient, use), AdminClient.layer({ socket }))

describe("an operation", () => {
  it.live("reaches the proxy with what was left out in place, and answers in types", () =>
    Effect.gen(function* () {
      const startedAt = DateTime.makeUnsafe("2026-01-02T03:04:05.678Z")
      const status = {
        version: "1.2.3",
        startedAt,
        uptime: 61_005,
        totalConnections: Number.MAX_SAFE_INTEGER,
        activeConnections: 1,
        listeners: [],
        draining: false,
        revision: 7
      }
      const { asked, socket } = yield* startAdmin({
        getStatus: () => Effect.succeed(status),
        addRoute: () => Effect.succeed({ replaced: true, warnings: ["careful"] })
      })
      assert.deepStrictEqual(yield* at(socket, (admin) => admin.getStatus({})), status)
      const route = { hostname: "a.test", backend: "192.0.2.1:443" }
      const added = yield* at(socket, (admin) => admin.addRoute({ listenerAddr: ":443", route }))
      assert.deepStrictEqual(added, { replaced: true, warnings: ["careful"] })
      const defaults = {
        mode: "l4",
        tlsCert: "",
        tlsKey: "",
        backendTls: false,
        sendProxyProtocol: false,
        l7Policies: [],
        backendProtocol: "h2",
        backendCa: "",
        backendServerName: ""
      }
      assert.deepStrictEqual(asked, [
        { operation: "getStatus", request: {} },
        { operation: "addRoute", request: { listenerAddr: ":443", route: { ...route, ...defaults } } }
      ])
    })
  )

  it.live("fails with the proxy's own refusal", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({
        removeRoute: () => new NotFound({ message: "no such route" }),
        watchConnections: () => Stream.fail(new AlreadyExists({ message: "enough watchers" }))
      })
      const refused = yield* Effect.flip(at(socket, (admin) => admin.removeRoute({ hostname: "a.test" })))
      assert.deepStrictEqual([refused._tag, refused.message], ["NotFound", "no such route"])
      const watch = at(socket, (admin) => Stream.runCollect(admin.watchConnections({})))
      assert.strictEqual((yield* Effect.flip(watch)).message, "enough watchers")
    })
  )

  it.live("carries a hundred thousand rules at once, both ways", () =>
    Effect.gen(function* () {
      const rules = Array.from(
        { length: 100_000 },
        (_, i) => ({ type: "ip", value: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` }) as const
      )
      const { asked, socket } = yield* startAdmin({
        applyFirewallRules: ({ add }) => Effect.succeed({ added: add.length, removed: 0, unchanged: 0 }),
        getFirewallRules: () => Effect.succeed({ rules })
      })
      const applied = yield* at(socket, (admin) => admin.applyFirewallRules({ add: rules }))
      assert.strictEqual(applied.added, rules.length)
      assert.deepStrictEqual(asked[0]?.request, { add: rules, remove: [] })
      assert.deepStrictEqual(yield* at(socket, (admin) => admin.getFirewallRules({})), { rules })
    })
  )
})

describe("a watch", () => {
  it.live("gives each event as it comes, and tells the proxy when nobody watches any more", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      const dropped = (count: number) => ({ event: "dropped", dropped: count, outcome: "" }) as const
      const { socket } = yield* startAdmin({
        watchConnections: () =>
          Stream.concat(Stream.make(dropped(1), dropped(2)), Stream.never).pipe(
            Stream.ensuring(Deferred.succeed(ended, undefined))
          )
      })
      const events = yield* at(socket, (admin) => Stream.runCollect(Stream.take(admin.watchConnections({}), 2)))
      assert.deepStrictEqual([...events], [dropped(1), dropped(2)])
      yield* Deferred.await(ended)
    })
  )
})

describe("health", () => {
  it.live("is asked as load balancers do", () =>
    Effect.gen(function* () {
      for (const status of ["SERVING", "NOT_SERVING"]) {
        const { socket } = yield* startAdmin({}, { status })
        assert.strictEqual(yield* at(socket, ({ health }) => health), status)
      }
    })
  )

  it.live("of something that is no mc-proxy is not guessed", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({}, { status: "FINE" })
      assert.strictEqual((yield* Effect.flip(at(socket, ({ health }) => health))).reason, "foreign")
    })
  )
})

/** A server of any kind at a socket of its own. */
const serve = Effect.fnUntraced(function* (make: () => Server) {
  const socket = join(yield* temporaryFolder, "other.sock")
  yield* Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = make().listen(socket, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )
  return socket
})

const onConnection = (use: (client: Socket) => void) => () =>
  createServer((client) => use(client.on("error", () => {})))

const reading = (answer: (client: Socket) => void) =>
  onConnection((client) => client.once("data", () => answer(client)))

/** Answers an operation with one message of Effect RPC, and ends. */
const answering = (message: object) => () =>
  createHttpServer((request, response) => {
    request.on("data", (chunk: Buffer) => {
      const { id } = JSON.parse(chunk.toString()) as { readonly id: string }
      response.end(`${JSON.stringify({ ...message, requestId: id })}\n`)
    })
  })

const chunk = (value: object) => answering({ _tag: "Chunk", values: [value] })

const succeeding = (value: object) => answering({ _tag: "Exit", exit: { _tag: "Success", value } })

const unreachable: ReadonlyArray<readonly [string, UnreachableReason, RegExp, () => Server]> = [
  ["that closes the connection", "cut", /ended before the answer/, onConnection((client) => client.destroy())],
  ["that speaks no HTTP", "foreign", /no mc-proxy/, reading((client) => client.end("SSH-2.0-OpenSSH_9.9\r\n"))],
  [
    "of another program's web pages",
    "foreign",
    /no mc-proxy/,
    () => createHttpServer((_, response) => response.end("<html>\n</html>\n"))
  ],
  [
    "that knows no such page",
    "foreign",
    /no mc-proxy/,
    () => createHttpServer((_, response) => response.writeHead(404).end())
  ],
  ["of another version", "foreign", /another version/, succeeding({ version: 2 })],
  ["that answers nothing", "cut", /ended before the answer/, () => createHttpServer((_, response) => response.end())]
]

describe("a socket", () => {
  it.live.each(unreachable)("%s is told in words", ([, reason, words, make]) =>
    Effect.gen(function* () {
      const socket = yield* serve(make)
      const error = yield* Effect.flip(at(socket, (admin) => admin.getStatus({})))
      assert.instanceOf(error, AdminUnreachable)
      assert.strictEqual(error.reason, reason)
      assert.match(error.message, words)
      assert.isTrue(error.message.startsWith(`${socket}: `))
    })
  )

  it.live("whose proxy stops, or is of another version, is told to who watches", () =>
    Effect.gen(function* () {
      const watch = (make: () => Server) =>
        Effect.flatMap(serve(make), (socket) =>
          Effect.flip(at(socket, (admin) => Stream.runDrain(admin.watchConnections({}))))
        )
      const stopped = yield* watch(chunk({ event: "EVENT_DROPPED", dropped: "1" }))
      assert.match(stopped.message, /ended before the answer; the proxy has stopped, with what was asked done or not/)
      assert.match((yield* watch(chunk({ event: "EVENT_RENAMED" }))).message, /another version/)
    })
  )

  it.live("whose proxy ends in order what it is at is told as one that stops", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({
        reload: () => Effect.interrupt,
        watchConnections: () => Stream.fromEffect(Effect.interrupt)
      })
      const asked = yield* Effect.flip(at(socket, (admin) => admin.reload({})))
      const watched = yield* Effect.flip(at(socket, (admin) => Stream.runDrain(admin.watchConnections({}))))
      for (const { _tag, message } of [asked, watched]) {
        assert.strictEqual(_tag, "AdminUnreachable")
        assert.match(message, /ended before the answer; the proxy has stopped, with what was asked done or not/)
      }
    })
  )

  it.live("that is not there, or that nobody has open, is told in words", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const missing = yield* Effect.flip(at(join(folder, "none.sock"), (admin) => admin.getStatus({})))
      assert.match(missing.message, /no such socket; is the proxy running, and is this the addr of \[grpc\]/)
      const file = join(folder, "file")
      writeFileSync(file, "")
      const dead = yield* Effect.flip(at(file, (admin) => admin.getStatus({})))
      assert.match(dead.message, /nobody is listening; is the proxy running/)
      const long = yield* Effect.flip(at(join(folder, "x".repeat(120)), (admin) => admin.getStatus({})))
      assert.instanceOf(long, AdminUnreachable)
    })
  )

  const waits: ReadonlyArray<
    readonly [string, number, (admin: AdminClient["Service"]) => Effect.Effect<unknown, AdminError | AdminUnreachable>]
  > = [
    ["a minute", 60, (admin) => admin.reload({})],
    ["ten seconds for its status", 10, (admin) => admin.getStatus({})],
    ["ten seconds for its health", 10, (admin) => admin.health]
  ]
  for (const [words, seconds, ask] of waits) {
    it.effect(`that never answers is waited for ${words}`, () =>
      Effect.gen(function* () {
        const asked = yield* Deferred.make<void>()
        const socket = yield* serve(
          onConnection((client) => client.once("data", () => Deferred.doneUnsafe(asked, Effect.void)))
        )
        const call = yield* Effect.forkChild(Effect.flip(at(socket, ask)))
        yield* Deferred.await(asked)
        yield* TestClock.adjust((seconds - 1) * 1000)
        assert.isUndefined(call.pollUnsafe())
        yield* TestClock.adjust(1000)
        assert.include((yield* Fiber.join(call)).message, `no answer within ${seconds} s; `)
      })
    )
  }
})
