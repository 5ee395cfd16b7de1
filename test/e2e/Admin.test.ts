import { assert, describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { existsSync, readdirSync, statSync } from "node:fs"
import { connect as connectSocket, createServer } from "node:net"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import {
  adminMethod,
  callUnary,
  connectClient,
  type Fields,
  methodOf,
  nextOf,
  openStream
} from "../admin/grpc/StockClient.ts"
import { type Ask, curlAdmin, grpcAdmin, type Refused } from "./harness/Admin.ts"
import { type Backend, startBackend } from "./harness/Backend.ts"
import { builtBinary, ROOT } from "./harness/Binary.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { hello } from "./harness/Hello.ts"
import { runProgram } from "./harness/Program.ts"
import { ADMIN, startProxy, startProxyIn, writeConfig } from "./harness/Proxy.ts"
import { assertRefused } from "./harness/Refusal.ts"
import { within } from "./harness/Watch.ts"
import { connect } from "./harness/Wire.ts"

const LISTENER = "127.0.0.1:0"
const OTHER = "127.0.0.2:0"
const GEOIP = join(ROOT, "test", "fixtures", "geoip", "GeoLite2-Country-Test.mmdb")
const CERTIFICATES = join(ROOT, "test", "config", "certificates")

/** A proxy with one listener, a route for a.test to `backend`, and the admin API. */
const start = Effect.fnUntraced(function* () {
  const backend = yield* startBackend()
  const proxy = yield* startProxy({
    listeners: [{ routes: [{ hostname: "a.test", backend: backend.address }] }],
    firewall: { geoip_db: GEOIP },
    grpc: ADMIN
  })
  return { backend, proxy, ask: yield* grpcAdmin(proxy) }
})

/** A client that names `hostname` at `address` and comes through to the backend. */
const reach = Effect.fnUntraced(function* (address: string, hostname: string, backend: Backend) {
  const client = yield* connect(address)
  yield* client.send(hello(hostname))
  return { client, inner: yield* backend.next }
})

interface Step {
  readonly method: string
  readonly request?: Fields
  /** What the answer has, or the status that refuses. */
  readonly answers: Fields | string
}

const ok = (method: string, request: Fields = {}, answers: Fields = {}): Step => ({ method, request, answers })
const no = (status: string, method: string, request: Fields): Step => ({ method, request, answers: status })

const ip = (value: string) => ({ type: "FIREWALL_RULE_TYPE_IP", value })
const route = (hostname: string) => ({ hostname, backend: "127.0.0.1:1" })
const l7Route = (hostname: string) => ({
  ...route(hostname),
  mode: "ROUTE_MODE_L7",
  tls_cert: join(CERTIFICATES, "server.pem"),
  tls_key: join(CERTIFICATES, "server.key")
})
const policy = { type: "L7_POLICY_TYPE_REQUIRE_HEADER", value: "x-key" }

/** Every operation that answers once, with each status that it can be refused with. */
const tour = (folder: string): ReadonlyArray<Step> => [
  ok("GetStatus", {}, { version: "0.1.0", revision: "1", listeners: [{ addr: LISTENER, route_count: 1 }] }),

  ok("AddRoute", { listener_addr: LISTENER, route: route("B.test.") }),
  ok("AddRoute", { listener_addr: LISTENER, route: route("b.test") }, { replaced: true }),
  no("INVALID_ARGUMENT", "AddRoute", { listener_addr: LISTENER, route: route("*.test") }),
  no("INVALID_ARGUMENT", "AddRoute", { listener_addr: LISTENER }),
  no("INVALID_ARGUMENT", "AddRoute", { listener_addr: LISTENER, route: { ...route("b.test"), mode: 7 } }),
  no("NOT_FOUND", "AddRoute", { listener_addr: ":9", route: route("b.test") }),
  ok(
    "ListRoutes",
    { listener_addr: LISTENER },
    {
      listeners: [
        { listener_addr: LISTENER, routes: [{ hostname: "a.test" }, { ...route("b.test"), mode: "ROUTE_MODE_L4" }] }
      ]
    }
  ),
  no("NOT_FOUND", "ListRoutes", { listener_addr: ":9" }),
  ok("RemoveRoute", { listener_addr: LISTENER, hostname: "b.test" }),
  no("NOT_FOUND", "RemoveRoute", { listener_addr: LISTENER, hostname: "b.test" }),

  ok("AddRoute", { listener_addr: LISTENER, route: l7Route("l7.test") }),
  ok("AddL7Policy", { listener_addr: LISTENER, hostname: "l7.test", policy }),
  no("ALREADY_EXISTS", "AddL7Policy", { listener_addr: LISTENER, hostname: "l7.test", policy }),
  no("INVALID_ARGUMENT", "AddL7Policy", { listener_addr: LISTENER, hostname: "a.test", policy }),
  no("INVALID_ARGUMENT", "AddL7Policy", { listener_addr: LISTENER, hostname: "l7.test", policy: { value: "x" } }),
  ok("ListL7Policies", { listener_addr: LISTENER, hostname: "l7.test" }, { policies: [policy] }),
  ok("RemoveL7Policy", { listener_addr: LISTENER, hostname: "l7.test", policy }),
  no("NOT_FOUND", "RemoveL7Policy", { listener_addr: LISTENER, hostname: "l7.test", policy }),
  no("NOT_FOUND", "ListL7Policies", { listener_addr: LISTENER, hostname: "none.test" }),

  ok("AddFirewallRule", { rule: ip("192.0.2.1") }),
  no("ALREADY_EXISTS", "AddFirewallRule", { rule: ip("::ffff:192.0.2.1") }),
  no("INVALID_ARGUMENT", "AddFirewallRule", { rule: { type: "FIREWALL_RULE_TYPE_CIDR", value: "10.0.0.1/8" } }),
  no("INVALID_ARGUMENT", "AddFirewallRule", { rule: { value: "192.0.2.1" } }),
  ok(
    "ApplyFirewallRules",
    { add: [ip("192.0.2.1"), ip("192.0.2.2")], remove: [ip("192.0.2.3")] },
    {
      added: 1,
      unchanged: 2
    }
  ),
  ok("AddFirewallRule", { rule: { type: "FIREWALL_RULE_TYPE_COUNTRY", value: "SE" } }),
  ok("RemoveFirewallRule", { rule: ip("192.0.2.1") }),
  no("NOT_FOUND", "RemoveFirewallRule", { rule: ip("192.0.2.1") }),
  ok("GetFirewallRules", {}, { rules: [ip("192.0.2.2"), { type: "FIREWALL_RULE_TYPE_COUNTRY", value: "SE" }] }),

  ok("AddListener", { listener: { addr: OTHER, proxy_protocol: true, trusted_proxies: ["127.0.0.0/8"] } }),
  no("ALREADY_EXISTS", "AddListener", { listener: { addr: OTHER } }),
  no("INVALID_ARGUMENT", "AddListener", { listener: { addr: "localhost:443" } }),
  ok("UpdateListener", { listener: { addr: OTHER, max_connections: 5 } }),
  no("NOT_FOUND", "UpdateListener", { listener: { addr: ":9" } }),
  ok("ListListeners", {}, { listeners: [{ addr: LISTENER }, { addr: OTHER, max_connections: 5 }] }),
  ok("SetListenerMaxConnections", { listener_addr: OTHER, max_connections: 7 }),
  no("NOT_FOUND", "SetListenerMaxConnections", { listener_addr: ":9", max_connections: 7 }),
  no("INVALID_ARGUMENT", "SetListenerMaxConnections", { listener_addr: OTHER, max_connections: 2_000_000 }),
  ok("GetStatus", {}, { listeners: [{ addr: LISTENER }, { addr: OTHER, max_connections: 7 }] }),
  ok("RemoveListener", { addr: OTHER }),
  no("NOT_FOUND", "RemoveListener", { addr: OTHER }),

  ok(
    "ImportState",
    { listeners: [{ listener: { addr: LISTENER } }], dry_run: true },
    {
      differences: [
        `remove route a.test on ${LISTENER}`,
        `remove route l7.test on ${LISTENER}`,
        "remove firewall rule country SE",
        "remove firewall rule ip 192.0.2.2"
      ]
    }
  ),
  no("INVALID_ARGUMENT", "ImportState", { dry_run: true }),
  ok("ImportState", { listeners: [{ listener: { addr: LISTENER }, routes: [route("c.test")] }] }),
  ok("ListRoutes", {}, { listeners: [{ routes: [{ hostname: "c.test" }] }] }),

  ok("ListConnections"),
  no("INVALID_ARGUMENT", "ListConnections", { limit: 10_001 }),
  no("INVALID_ARGUMENT", "ListConnections", { client_ip: "nobody" }),
  no("NOT_FOUND", "CloseConnection", { id: "none" }),
  ok(
    "ExplainConnection",
    { listener_addr: LISTENER, client_ip: "192.0.2.9", hostname: "c.test" },
    {
      outcome: "routed",
      route: route("c.test")
    }
  ),
  no("NOT_FOUND", "ExplainConnection", { listener_addr: ":9", client_ip: "192.0.2.9", hostname: "c.test" }),
  ok("Reload", {}, { reloaded: [GEOIP] }),
  ok("Snapshot", { path: join(folder, "copy.db") }),
  no("ALREADY_EXISTS", "Snapshot", { path: join(folder, "copy.db") }),
  no("INVALID_ARGUMENT", "Snapshot", { path: "copy.db" })
]

const takeTour = Effect.fnUntraced(function* (ask: Ask, folder: string) {
  for (const { answers, method, request = {} } of tour(folder)) {
    const what = `${method} ${JSON.stringify(request)}`
    if (typeof answers === "string") {
      const refused = yield* Effect.catch(
        Effect.map(ask(method, request), (answer): Refused => ({ status: "OK", message: JSON.stringify(answer) })),
        Effect.succeed
      )
      assert.strictEqual(refused.status, answers, `${what}: ${refused.message}`)
      assert.notStrictEqual(refused.message, "")
    } else {
      const answer = yield* Effect.catch(ask(method, request), ({ message }) =>
        Effect.die(new Error(`${what}: ${message}`))
      )
      expect(answer, what).toMatchObject(answers)
    }
  }
})

describe("every operation", () => {
  it.live("answers a stock gRPC client", () =>
    Effect.gen(function* () {
      const { ask, proxy } = yield* start()
      yield* takeTour(ask, proxy.folder)
    })
  )

  it.live("answers curl with JSON", () =>
    Effect.gen(function* () {
      const { proxy } = yield* start()
      yield* takeTour(curlAdmin(proxy), proxy.folder)
    })
  )
})

describe("what was answered", () => {
  it.live("holds for the very next connection, and leaves live ones as they are", () =>
    Effect.gen(function* () {
      const { ask, backend, proxy } = yield* start()
      const other = yield* startBackend()
      const live = yield* reach(proxy.address, "a.test", backend)
      for (let i = 0; i < 20; i++) {
        yield* ask("AddRoute", { listener_addr: LISTENER, route: { hostname: "a.test", backend: other.address } })
        yield* reach(proxy.address, "a.test", other)
        yield* ask("RemoveRoute", { listener_addr: LISTENER, hostname: "a.test" })
        const unrouted = yield* connect(proxy.address)
        yield* unrouted.send(hello("a.test"))
        yield* assertRefused(proxy, unrouted, { outcome: "no_route", hostname: "a.test" })
        yield* ask("AddFirewallRule", { rule: ip("127.0.0.1") })
        yield* assertRefused(proxy, yield* connect(proxy.address), { outcome: "blocked_ip", rule: "ip 127.0.0.1" })
        yield* ask("RemoveFirewallRule", { rule: ip("127.0.0.1") })
      }
      yield* live.inner.send("still here")
      yield* live.client.received(10)
    })
  )

  it.live("is there after the proxy was killed", () =>
    Effect.gen(function* () {
      const { ask, proxy } = yield* start()
      yield* ask("AddFirewallRule", { rule: ip("127.0.0.1") })
      yield* proxy.stop("SIGKILL")
      const again = yield* startProxyIn(proxy.folder, { listeners: [{}], firewall: { geoip_db: GEOIP }, grpc: ADMIN })
      yield* assertRefused(again, yield* connect(again.address), { outcome: "blocked_ip", rule: "ip 127.0.0.1" })
    })
  )
})

describe("a listener", () => {
  it.live("accepts once it is added, and no more once it is removed, while its connections go on", () =>
    Effect.gen(function* () {
      const { ask, backend, proxy } = yield* start()
      yield* ask("AddListener", { listener: { addr: OTHER } })
      yield* ask("AddRoute", { listener_addr: OTHER, route: { hostname: "a.test", backend: backend.address } })
      const address = yield* proxy.boundTo(OTHER)
      const { client, inner } = yield* reach(address, "a.test", backend)
      yield* ask("RemoveListener", { addr: OTHER })
      assert.strictEqual(yield* refusesConnections(address), "ECONNREFUSED")
      yield* inner.send("still here")
      yield* client.received(10)
      expect(yield* ask("ListConnections")).toMatchObject({ connections: [{ listener_addr: OTHER }] })
    })
  )

  it.live("that cannot be bound is refused, and nothing of it is stored", () =>
    Effect.gen(function* () {
      const { ask } = yield* start()
      const taken = yield* takenPort
      const refused = yield* Effect.flip(ask("AddListener", { listener: { addr: taken } }))
      assert.strictEqual(refused.status, "FAILED_PRECONDITION")
      assert.include(refused.message, taken)
      const { listeners } = yield* ask("ListListeners")
      assert.lengthOf(listeners as ReadonlyArray<unknown>, 1)
      expect(yield* ask("GetStatus")).toMatchObject({ revision: "1" })
    })
  )

  it.live("takes other settings from the next connection on", () =>
    Effect.gen(function* () {
      const { ask, backend, proxy } = yield* start()
      const { client, inner } = yield* reach(proxy.address, "a.test", backend)
      yield* ask("SetListenerMaxConnections", { listener_addr: LISTENER, max_connections: 1 })
      yield* assertRefused(proxy, yield* connect(proxy.address), { outcome: "max_connections" })
      yield* inner.send("still here")
      yield* client.received(10)
    })
  )
})

describe("live connections", () => {
  it.live("are listed, and reset on both sides when they are closed", () =>
    Effect.gen(function* () {
      const { ask, backend, proxy } = yield* start()
      const { client, inner } = yield* reach(proxy.address, "a.test", backend)
      yield* inner.send("0123456789")
      yield* client.received(10)
      const { connections } = yield* ask("ListConnections", { hostname: "a.test", client_ip: "127.0.0.1" })
      const [live] = connections as ReadonlyArray<Fields>
      expect(live).toMatchObject({
        listener_addr: LISTENER,
        client: client.local,
        peer: client.local,
        hostname: "a.test",
        backend: backend.address,
        mode: "ROUTE_MODE_L4",
        bytes_from_client: String(hello("a.test").length),
        bytes_from_backend: "10"
      })
      yield* ask("CloseConnection", { id: live!["id"] })
      assert.strictEqual(yield* client.ended, "reset")
      assert.strictEqual(yield* inner.ended, "reset")
      assert.strictEqual((yield* proxy.accessOf(client)).outcome, "closed_by_admin")
    })
  )

  it.live("are told to whoever watches, refused ones too", () =>
    Effect.gen(function* () {
      const { ask, backend, proxy } = yield* start()
      const watching = openStream(yield* connectClient(proxy.adminSocket), adminMethod("WatchConnections"), {})
      const next = within("an event")(nextOf(watching))
      // The first events may be of clients from before; of those that come once one has been seen, none is missed.
      const first = yield* Effect.forkChild(next)
      while (first.pollUnsafe() === undefined) {
        ;(yield* connect(proxy.address)).finish()
        yield* proxy.access()
        yield* Effect.yieldNow
      }
      const { client, inner } = yield* reach(proxy.address, "a.test", backend)
      const eventOf = (event: string) =>
        Effect.repeat(next, {
          until: (told) => told["event"] === event && (told["connection"] as Fields)["peer"] === client.local
        })
      yield* eventOf("EVENT_OPENED")
      client.finish()
      inner.finish()
      expect(yield* eventOf("EVENT_CLOSED")).toMatchObject({
        outcome: "done",
        connection: { hostname: "a.test", backend: backend.address }
      })
      yield* ask("AddFirewallRule", { rule: ip("127.0.0.1") })
      yield* connect(proxy.address)
      const refused = yield* Effect.repeat(next, { until: (told) => told["outcome"] === "blocked_ip" })
      assert.strictEqual(refused["event"], "EVENT_CLOSED")
      yield* Fiber.join(first)
    })
  )
})

describe("draining", () => {
  it.live("refuses mutations, and says so to health checks, until the last connection is done", () =>
    Effect.gen(function* () {
      const { ask, backend, proxy } = yield* start()
      const { client, inner } = yield* reach(proxy.address, "a.test", backend)
      const grpc = yield* connectClient(proxy.adminSocket)
      const watching = openStream(grpc, methodOf("grpc.health.v1.Health", "Watch"), {})
      const next = within("the health")(nextOf(watching))
      assert.deepStrictEqual(yield* next, { status: "SERVING" })
      proxy.signal("SIGTERM")
      assert.deepStrictEqual(yield* next, { status: "NOT_SERVING" })
      const check = callUnary(grpc, methodOf("grpc.health.v1.Health", "Check"), {})
      assert.deepStrictEqual(yield* check, { status: "NOT_SERVING" })
      const refused = yield* Effect.flip(ask("AddFirewallRule", { rule: ip("192.0.2.1") }))
      assert.strictEqual(refused.status, "UNAVAILABLE")
      expect(yield* ask("GetStatus")).toMatchObject({ draining: true, active_connections: "1" })
      client.finish()
      inner.finish()
      assert.deepStrictEqual(yield* proxy.ended, { code: 0, signal: null })
      assert.isFalse(existsSync(proxy.adminSocket))
    })
  )
})

describe("the admin socket", () => {
  it.live("is for its owner alone, and is gone when the proxy is", () =>
    Effect.gen(function* () {
      const { proxy } = yield* start()
      assert.strictEqual(statSync(proxy.adminSocket).mode & 0o777, 0o600)
      assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
      assert.isFalse(existsSync(proxy.adminSocket))
    })
  )

  it.live("of a proxy that runs is not taken from it", () =>
    Effect.gen(function* () {
      const { ask, proxy } = yield* start()
      const second = yield* temporaryFolder
      const config = { listeners: [{}], grpc: { addr: proxy.adminSocket } }
      const { code, stderr } = yield* runProgram(process.execPath, [
        builtBinary(),
        "server",
        "-c",
        writeConfig(second, config)
      ])
      assert.strictEqual(code, 1)
      assert.include(stderr, proxy.adminSocket)
      // Nobody can have been connected to it, and nothing of its own was made.
      assert.notInclude(stderr, "listening")
      assert.deepStrictEqual(readdirSync(second), ["mc-proxy.toml"])
      expect(yield* ask("GetStatus")).toMatchObject({ revision: "1" })
    })
  )

  it.live("that a killed proxy has left behind is replaced", () =>
    Effect.gen(function* () {
      const { proxy } = yield* start()
      yield* proxy.stop("SIGKILL")
      assert.isTrue(existsSync(proxy.adminSocket))
      const again = yield* startProxyIn(proxy.folder, { listeners: [{}], firewall: { geoip_db: GEOIP }, grpc: ADMIN })
      const ask = yield* grpcAdmin(again)
      expect(yield* ask("GetStatus")).toMatchObject({ revision: "1" })
    })
  )
})

describe("a database that somebody else has locked", () => {
  it.live("delays mutations, and no connection and no question", () =>
    Effect.gen(function* () {
      const { ask, backend, proxy } = yield* start()
      const locked = new DatabaseSync(join(proxy.folder, "mc-proxy.db"))
      locked.exec("BEGIN IMMEDIATE")
      const adding = yield* Effect.forkChild(ask("AddFirewallRule", { rule: ip("192.0.2.1") }))
      for (let i = 0; i < 50; i++) {
        const { client, inner } = yield* reach(proxy.address, "a.test", backend)
        client.finish()
        inner.finish()
        expect(yield* ask("GetStatus")).toMatchObject({ revision: "1" })
      }
      assert.isUndefined(adding.pollUnsafe())
      locked.exec("ROLLBACK")
      locked.close()
      yield* Fiber.join(adding)
      expect(yield* ask("GetStatus")).toMatchObject({ revision: "2" })
    })
  )

  it.live("delays an answer beyond the draining, which does not lose it", () =>
    Effect.gen(function* () {
      const { ask, proxy } = yield* start()
      const locked = new DatabaseSync(join(proxy.folder, "mc-proxy.db"))
      locked.exec("BEGIN IMMEDIATE")
      const adding = yield* Effect.forkChild(ask("AddFirewallRule", { rule: ip("192.0.2.1") }))
      // On the same connection, and so behind it.
      yield* ask("GetStatus")
      proxy.signal("SIGTERM")
      yield* proxy.logged("stopped")
      locked.exec("ROLLBACK")
      locked.close()
      yield* Fiber.join(adding)
      assert.strictEqual((yield* proxy.ended).code, 0)
      assert.deepStrictEqual(
        proxy.logLines.filter(({ level }) => level === "error"),
        []
      )
    })
  )

  it.live("delays no exit past a second signal", () =>
    Effect.gen(function* () {
      const { ask, proxy } = yield* start()
      const locked = new DatabaseSync(join(proxy.folder, "mc-proxy.db"))
      locked.exec("BEGIN IMMEDIATE")
      const adding = yield* Effect.forkChild(Effect.flip(ask("AddFirewallRule", { rule: ip("192.0.2.1") })))
      yield* ask("GetStatus")
      proxy.signal("SIGTERM")
      yield* proxy.logged("stopped")
      proxy.signal("SIGTERM")
      assert.strictEqual((yield* proxy.ended).code, 0)
      // It was cut, and not told of the lock, for which it would have had to wait.
      assert.notStrictEqual((yield* Fiber.join(adding)).status, "INTERNAL")
      locked.close()
    })
  )
})

describe("a change that takes more memory than Node has", () => {
  it.live("ends the proxy, which says what to do, and can be started again", () =>
    Effect.gen(function* () {
      const listeners = [{ routes: [{ hostname: "a.test", backend: "127.0.0.1:1" }] }]
      const proxy = yield* startProxy({ listeners, grpc: ADMIN }, { env: { NODE_OPTIONS: "--max-old-space-size=48" } })
      const ask = yield* grpcAdmin(proxy)
      const add = Array.from({ length: RULES_TOO_MANY }, (_, i) => ip(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`))
      assert.include(["CANCELLED", "UNAVAILABLE"], (yield* Effect.flip(ask("ApplyFirewallRules", { add }))).status)
      assert.strictEqual((yield* proxy.ended).code, 1)
      assert.match(
        proxy.program.stderr.trim().split("\n").at(-1)!,
        /^mc-proxy: the control plane has run out of memory: /
      )
      const again = yield* startProxyIn(proxy.folder, { listeners, grpc: ADMIN })
      expect(yield* (yield* grpcAdmin(again))("GetStatus")).toMatchObject({ revision: "1" })
      yield* again.stop()
    })
  )
})

/** Of which reading alone takes more than the least heap that the proxy starts with. */
const RULES_TOO_MANY = 300_000

const takenPort = Effect.acquireRelease(
  Effect.callback<ReturnType<typeof createServer>>((resume) => {
    const server = createServer().listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
).pipe(Effect.map((server) => `127.0.0.1:${(server.address() as { readonly port: number }).port}`))

/** The code that a connection to `address` fails with. */
const refusesConnections = (address: string): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    const [host = "", port] = address.split(":")
    const socket = connectSocket(Number(port), host)
    socket.once("connect", () => resume(Effect.succeed("connected")))
    socket.once("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? error.message)))
    return Effect.sync(() => socket.destroy())
  }).pipe(within("the refusal of a connection"))
