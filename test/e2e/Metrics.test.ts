import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { CONNECTIONS_MAX } from "../../src/metrics/MetricsServer.ts"
import { grpcAdmin } from "./harness/Admin.ts"
import { startBackend } from "./harness/Backend.ts"
import { builtBinary } from "./harness/Binary.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { hello } from "./harness/Hello.ts"
import { runProgram } from "./harness/Program.ts"
import { ADMIN, METRICS, startProxy, writeConfig } from "./harness/Proxy.ts"
import { get, scrape, scrapeUntil } from "./harness/Scrape.ts"
import { connect } from "./harness/Wire.ts"

const HELLO = hello("a.test")
const LISTENER = "127.0.0.1:0"

it.live("counts a connection from its accept to its end, and its bytes while it lasts", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address, send_proxy_protocol: true }]
    const proxy = yield* startProxy({ listeners: [{ routes }], metrics: METRICS })
    const before = yield* scrape(proxy)
    assert.deepStrictEqual(before.of("mcproxy_connections_total"), {})
    assert.deepStrictEqual(before.of("mcproxy_connections_closed_total"), {})

    const client = yield* connect(proxy.address)
    yield* client.send(HELLO)
    const inner = yield* backend.next
    yield* inner.send("answer")
    yield* client.received(6)
    const during = yield* scrapeUntil(
      proxy,
      "the bytes of a live connection",
      (page) => Object.keys(page.of("mcproxy_transferred_bytes_total")).length === 2
    )
    const bytes = {
      [`{listener="${LISTENER}",direction="from_client"}`]: HELLO.length,
      [`{listener="${LISTENER}",direction="from_backend"}`]: 6
    }
    assert.deepStrictEqual(during.of("mcproxy_connections_active"), { [`{listener="${LISTENER}"}`]: 1 })
    assert.deepStrictEqual(during.of("mcproxy_connections_closed_total"), {})
    assert.deepStrictEqual(during.of("mcproxy_transferred_bytes_total"), bytes)
    assert.strictEqual(during.get("mcproxy_sockets_open"), 3)

    client.finish()
    inner.finish()
    const { dial_ms } = yield* proxy.accessOf(client)
    const after = yield* scrape(proxy)
    assert.deepStrictEqual(after.of("mcproxy_connections_total"), { [`{listener="${LISTENER}"}`]: 1 })
    assert.deepStrictEqual(after.of("mcproxy_connections_active"), {})
    assert.deepStrictEqual(after.of("mcproxy_connections_closed_total"), {
      [`{listener="${LISTENER}",outcome="done"}`]: 1
    })
    assert.deepStrictEqual(after.of("mcproxy_transferred_bytes_total"), bytes)
    const dials = `mcproxy_backend_dial_duration_seconds`
    assert.deepStrictEqual(after.of(`${dials}_count`), { [`{backend="${backend.address}"}`]: 1 })
    assert.approximately(after.get(`${dials}_sum{backend="${backend.address}"}`), dial_ms! / 1000, 1e-6)
    assert.strictEqual(after.get(`${dials}_bucket{backend="${backend.address}",le="+Inf"}`), 1)
    assert.strictEqual(after.get("mcproxy_sockets_open"), 1)
  })
)

it.live("tells what is configured, and ends a series with the listener, the route or the rule it is about", () =>
  Effect.gen(function* () {
    const routes = [
      { hostname: "a.test", backend: "127.0.0.1:1" },
      { hostname: "b.test", backend: "127.0.0.1:2" }
    ]
    const proxy = yield* startProxy({
      listeners: [{ routes }],
      firewall: { blocked_ips: ["192.0.2.1"], blocked_cidrs: ["10.0.0.0/8", "2001:db8::/32"] },
      grpc: ADMIN,
      metrics: METRICS
    })
    const first = yield* scrape(proxy)
    const { stdout } = yield* runProgram(process.execPath, [builtBinary(), "--version"])
    assert.strictEqual(first.get(`mcproxy_build_info{version="${stdout.trim().replace(/^\S+ v?/, "")}"}`), 1)
    assert.deepStrictEqual(first.of("mcproxy_routes"), { [`{listener="${LISTENER}"}`]: 2 })
    assert.deepStrictEqual(first.of("mcproxy_firewall_rules"), { '{type="ip"}': 1, '{type="cidr"}': 2 })
    assert.strictEqual(first.get('mcproxy_backend_dial_duration_seconds_count{backend="127.0.0.1:2"}'), 0)

    const ask = yield* grpcAdmin(proxy)
    yield* ask("AddListener", { listener: { addr: "[::1]:0" } })
    yield* ask("RemoveRoute", { listener_addr: LISTENER, hostname: "b.test" })
    yield* ask("RemoveFirewallRule", { rule: { type: "FIREWALL_RULE_TYPE_IP", value: "192.0.2.1" } })
    const second = yield* scrape(proxy)
    assert.strictEqual(second.get('mcproxy_routes{listener="[::1]:0"}'), 0)
    assert.strictEqual(second.get('mcproxy_connections_total{listener="[::1]:0"}'), 0)
    assert.deepStrictEqual(second.of("mcproxy_routes"), { [`{listener="${LISTENER}"}`]: 1 })
    assert.deepStrictEqual(second.of("mcproxy_firewall_rules"), { '{type="cidr"}': 2 })
    assert.notInclude(second.text, "127.0.0.1:2")

    yield* ask("RemoveListener", { addr: LISTENER })
    assert.notInclude((yield* scrape(proxy)).text, LISTENER)
  })
)

it.live("counts what the firewall blocks by reason, also when the listener has gone", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{}],
      firewall: { blocked_ips: ["127.0.0.2"], blocked_cidrs: ["127.0.1.0/24"], rate_limit: 1, rate_window: "1h" },
      grpc: ADMIN,
      metrics: METRICS
    })
    for (const from of ["127.0.0.2", "127.0.1.1", "127.0.1.2", "127.0.0.3", "127.0.0.3", "127.0.0.3", "127.0.0.3"]) {
      const client = yield* connect(proxy.address, { from })
      yield* client.send("no TLS")
      yield* proxy.accessOf(client)
    }
    const blocked = { '{reason="ip"}': 1, '{reason="cidr"}': 2, '{reason="rate_limit"}': 3 }
    const page = yield* scrape(proxy)
    assert.deepStrictEqual(page.of("mcproxy_firewall_blocked_total"), blocked)
    assert.deepStrictEqual(page.of("mcproxy_connections_closed_total"), {
      [`{listener="${LISTENER}",outcome="blocked_ip"}`]: 1,
      [`{listener="${LISTENER}",outcome="blocked_cidr"}`]: 2,
      [`{listener="${LISTENER}",outcome="rate_limited"}`]: 3,
      [`{listener="${LISTENER}",outcome="not_tls"}`]: 1
    })
    const ask = yield* grpcAdmin(proxy)
    yield* ask("RemoveListener", { addr: LISTENER })
    assert.deepStrictEqual((yield* scrape(proxy)).of("mcproxy_firewall_blocked_total"), blocked)
  })
)

it.live("gives a page that Prometheus' own parser and linter find nothing wrong with", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{ routes: [{ hostname: "a.test", backend: "127.0.0.1:1" }] }],
      metrics: METRICS
    })
    const client = yield* connect(proxy.address)
    yield* client.send(HELLO)
    yield* client.ended
    const { text } = yield* scrape(proxy)
    const checked = yield* runProgram("/bin/sh", ["-c", 'printf %s "$1" | promtool check metrics', "sh", text])
    assert.deepStrictEqual(checked, { code: 0, signal: null, stdout: "", stderr: "" })
  })
)

it.live("is healthy while it accepts, with or without routes, and is not from the moment it drains", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const proxy = yield* startProxy({ listeners: [{}], grpc: ADMIN, metrics: METRICS })
    assert.include(yield* get(proxy, "/healthz"), { status: 200, body: "status: accepting\nlisteners: 1\nroutes: 0\n" })
    const ask = yield* grpcAdmin(proxy)
    yield* ask("AddRoute", { listener_addr: LISTENER, route: { hostname: "a.test", backend: backend.address } })
    assert.include(yield* get(proxy, "/healthz"), { status: 200, body: "status: accepting\nlisteners: 1\nroutes: 1\n" })

    const client = yield* connect(proxy.address)
    yield* client.send(HELLO)
    const inner = yield* backend.next
    proxy.signal("SIGTERM")
    yield* proxy.logged("draining")
    assert.include(yield* get(proxy, "/healthz"), { status: 503, body: "status: draining\nlisteners: 1\nroutes: 1\n" })
    assert.strictEqual((yield* scrape(proxy)).get(`mcproxy_connections_active{listener="${LISTENER}"}`), 1)
    client.finish()
    inner.finish()
    assert.deepStrictEqual(yield* proxy.ended, { code: 0, signal: null })
  })
)

it.live("ends although clients of its metrics are idle, or have asked for half of something", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], metrics: METRICS })
    const half = yield* connect(proxy.metricsAddress)
    yield* half.send("GET /metrics HTTP/1.1\r\n")
    const idle = yield* connect(proxy.metricsAddress)
    yield* idle.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
    yield* idle.received(17)
    assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
  })
)

it.live("refuses other methods and paths, long headers, and more connections than it keeps room for", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], metrics: { ...METRICS, path: "/m:x", dashboard: false } })
    assert.strictEqual(
      (yield* get(proxy, "/m:x?a=b")).headers["content-type"],
      "text/plain; version=0.0.4; charset=utf-8"
    )
    assert.include(yield* get(proxy, "/m:x", { method: "HEAD" }), { status: 200, body: "" })
    assert.strictEqual((yield* get(proxy, "/m:x", { method: "POST" })).status, 405)
    for (const path of ["/", "/metrics", "/m:y", "/healthz/"]) {
      assert.strictEqual((yield* get(proxy, path)).status, 404)
    }
    assert.strictEqual((yield* get(proxy, "/healthz", { headers: { long: "x".repeat(17_000) } })).status, 431)

    const clients = yield* Effect.replicateEffect(connect(proxy.metricsAddress), CONNECTIONS_MAX + 1)
    for (const client of clients) yield* client.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
    yield* Effect.raceAll(clients.map(({ ended }) => ended))
    for (const client of clients) client.reset()
    assert.strictEqual((yield* get(proxy, "/healthz")).status, 200)
  })
)

it.live("says before anyone is served that its address is taken, by the key that names it", () =>
  Effect.gen(function* () {
    const { address: addr } = yield* startBackend()
    const file = writeConfig(yield* temporaryFolder, { listeners: [{}], metrics: { addr } })
    const { code, stderr } = yield* runProgram(process.execPath, [builtBinary(), "server", "-c", file])
    assert.strictEqual(code, 1)
    assert.strictEqual(
      stderr,
      `mc-proxy: ${file}: metrics.addr: cannot listen on ${addr}: the address is in use; stop who uses it, or set another\n`
    )
  })
)

it.live("listens nowhere without its section", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}] })
    assert.notInclude(proxy.program.stderr, "serving metrics")
  })
)
