/** Random right configs: each with the TOML that says it, in one of the ways to say it. */
import { Result } from "effect"
import * as fc from "fast-check"
import { resolve } from "node:path"
import type { Config } from "../../src/config/Config.ts"
import { parseHostname } from "../../src/snapshot/Hostname.ts"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import type { Listener, Route } from "../../src/snapshot/Snapshot.ts"
import { FOLDER } from "./Parsing.ts"

/** What the file holds (`undefined`: nothing) beside what the proxy makes of it. */
interface Said<A> {
  readonly toml: unknown
  readonly value: A
}

type Table = Record<string, unknown>

const asIs = <A>(value: A): Said<A> => ({ toml: value, value })

/** A key that may be left out. */
const or = <A>(fallback: A, said: fc.Arbitrary<Said<A>>): fc.Arbitrary<Said<A>> =>
  fc.oneof(fc.constant({ toml: undefined, value: fallback }), said)

/** The table of what is not left out. */
const table = (keys: Table): Table => Object.fromEntries(Object.entries(keys).filter(([, toml]) => toml !== undefined))

const flag = fc.boolean().map(asIs)

const integer = (min: number, max: number) => fc.integer({ min, max }).map(asIs)

const duration = (min: number, max: number): fc.Arbitrary<Said<number>> =>
  fc.tuple(fc.integer({ min, max }), fc.boolean()).map(([ms, short]) => ({
    toml: short ? `${ms}ms` : `${Math.floor(ms / 60_000)}m${Math.floor((ms % 60_000) / 1000)}s${ms % 1000}ms`,
    value: ms
  }))

const path: fc.Arbitrary<Said<string>> = fc
  .array(fc.constantFrom("certs", "..", "mc proxy", "größe", "a.pem", "."), { minLength: 1, maxLength: 3 })
  .chain((parts) => fc.constantFrom(`/srv/${parts.join("/")}`, parts.join("/")))
  .map((toml) => ({ toml, value: resolve(FOLDER, toml) }))

const pathOrNone = fc.oneof(fc.constant(asIs("")), path)

const label = fc.stringMatching(/^[a-z0-9_-]{0,5}[a-z][a-z0-9_-]{0,5}$/)

const hostname = fc
  .tuple(fc.array(label, { minLength: 1, maxLength: 4 }), fc.boolean(), fc.boolean())
  .map(([labels, upper, dot]) => ({
    toml: `${upper ? labels.join(".").toUpperCase() : labels.join(".")}${dot ? "." : ""}`,
    value: Result.getOrThrow(parseHostname(labels.join(".")))
  }))

const ipv4 = fc.ipV4().map(asIs)

const ipv6: fc.Arbitrary<Said<string>> = fc.oneof(
  fc.constantFrom(
    { toml: "2001:DB8:0:0:1:0:0:1", value: "2001:db8::1:0:0:1" },
    { toml: "0:0:0:0:0:0:0:0", value: "::" },
    { toml: "fe80::0001", value: "fe80::1" },
    { toml: "::FFFF:c000:0201", value: "192.0.2.1" }
  ),
  fc.ipV4().map((ip) => ({ toml: `::ffff:${ip}`, value: ip }))
)

const ip = fc.oneof(ipv4, ipv6)

const withPort = (host: string, port: number): string => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`)

const listenAddress: fc.Arbitrary<Said<string>> = fc
  .tuple(fc.oneof(fc.constant(asIs("")), ip), fc.nat({ max: 65535 }))
  .map(([host, port]) => ({ toml: withPort(String(host.toml), port), value: withPort(host.value, port) }))

const backend: fc.Arbitrary<Said<string>> = fc
  .tuple(fc.oneof(hostname, ip), fc.integer({ min: 1, max: 65535 }))
  .map(([host, port]) => ({ toml: withPort(String(host.toml), port), value: withPort(host.value, port) }))

const cidr = fc.constantFrom(
  asIs("10.0.0.0/8"),
  asIs("0.0.0.0/0"),
  asIs("192.0.2.1/32"),
  { toml: "2001:DB8:0::/32", value: "2001:db8::/32" },
  { toml: "::ffff:10.1.0.0/112", value: "10.1.0.0/16" }
)

const country = fc.constantFrom("DE", "FR", "XK").map(asIs)

const list = <A>(item: fc.Arbitrary<Said<A>>): fc.Arbitrary<Said<ReadonlyArray<A>>> =>
  fc
    .uniqueArray(item, { maxLength: 4, selector: ({ value }) => value })
    .map((items) => ({ toml: items.map(({ toml }) => toml), value: items.map(({ value }) => value) }))

const policy = fc
  .oneof(
    fc.record({ type: fc.constant("block_user_agent" as const), value: fc.stringMatching(/^[a-z]{1,9} [ -~]{0,9}$/) }),
    fc.record({ type: fc.constant("require_header" as const), value: fc.stringMatching(/^[a-z-]{1,9}$/) })
  )
  .map(asIs)

const l4Route = fc
  .record({ hostname, backend, mode: or("l4" as const, fc.constant(asIs("l4" as const))), proxy: or(false, flag) })
  .map(({ hostname, backend, mode, proxy }): Said<Route> => ({
    toml: table({
      hostname: hostname.toml,
      backend: backend.toml,
      mode: mode.toml,
      send_proxy_protocol: proxy.toml
    }),
    value: { hostname: hostname.value, backend: backend.value, mode: "l4", sendProxyProtocol: proxy.value }
  }))

const backendTls = fc.oneof(
  fc.record({ tls: or(false, fc.constant(asIs(false))), ca: fc.constant(asIs("")), name: fc.constant(asIs("")) }),
  fc.record({ tls: fc.constant(asIs(true)), ca: or("", pathOrNone), name: or<string>("", hostname) })
)

const l7Route = fc
  .record({
    hostname,
    backend,
    proxy: or(false, flag),
    cert: path,
    key: path,
    protocol: or("h2" as const, fc.constantFrom(asIs("h2" as const), asIs("http/1.1" as const))),
    upstream: backendTls,
    policies: fc.uniqueArray(policy, { maxLength: 3, selector: ({ value }) => `${value.type} ${value.value}` })
  })
  .map(({ hostname, backend, proxy, cert, key, protocol, upstream, policies }): Said<Route> => ({
    toml: table({
      hostname: hostname.toml,
      backend: backend.toml,
      mode: "l7",
      send_proxy_protocol: proxy.toml,
      tls_cert: cert.toml,
      tls_key: key.toml,
      backend_tls: upstream.tls.toml,
      backend_protocol: protocol.toml,
      backend_ca: upstream.ca.toml,
      backend_server_name: upstream.name.toml,
      l7_policies: policies.length > 0 ? policies.map(({ toml }) => toml) : undefined
    }),
    value: {
      hostname: hostname.value,
      backend: backend.value,
      mode: "l7",
      sendProxyProtocol: proxy.value,
      tlsCert: cert.value,
      tlsKey: key.value,
      backendTls: upstream.tls.value,
      backendProtocol: protocol.value,
      backendCa: upstream.ca.value,
      backendServerName: upstream.name.value,
      l7Policies: policies.map(({ value }) => value)
    }
  }))

const listener = fc
  .record({
    addr: listenAddress,
    proxyProtocol: or(false, flag),
    trusted: or([], list(fc.oneof(ip, cidr))),
    max: or(0, integer(0, 1_048_576)),
    routes: fc.uniqueArray(fc.oneof(l4Route, l7Route), { maxLength: 4, selector: ({ value }) => value.hostname })
  })
  .map(({ addr, proxyProtocol, trusted, max, routes }): Said<Listener> => ({
    toml: table({
      addr: addr.toml,
      proxy_protocol: proxyProtocol.toml,
      trusted_proxies: trusted.toml,
      max_connections: max.toml,
      routes: routes.length > 0 ? routes.map(({ toml }) => toml) : undefined
    }),
    value: {
      addr: addr.value,
      proxyProtocol: proxyProtocol.value,
      trustedProxies: trusted.value,
      maxConnections: max.value,
      routes: routes.map(({ value }) => value)
    }
  }))

/** Whether two listeners are one, or one of them takes every address of the other's port, so that no config has both. */
const exclude = (a: string, b: string): boolean => {
  const [hostA, portA] = splitPort(a)
  const [hostB, portB] = splitPort(b)
  return a === b || (portA === portB && portA !== "0" && (EVERY_ADDRESS.has(hostA) || EVERY_ADDRESS.has(hostB)))
}

const splitPort = (addr: string): readonly [host: string, port: string] => {
  const colon = addr.lastIndexOf(":")
  return [addr.slice(0, colon), addr.slice(colon + 1)]
}

const EVERY_ADDRESS: ReadonlySet<string> = new Set(["", "0.0.0.0", "[::]"])

const listeners = fc
  .uniqueArray(listener, { minLength: 1, maxLength: 3, selector: ({ value }) => value.addr, comparator: exclude })
  .map((items) => ({ toml: items.map(({ toml }) => toml), value: items.map(({ value }) => value) }))

const grpc = or(
  undefined,
  or("/srv/mc-proxy/mc-proxy.sock", path).map(({ toml, value }) => ({
    toml: table({ addr: toml }),
    value: { addr: value }
  }))
)

const rulesOf = (type: FirewallRule["type"], values: ReadonlyArray<string>): ReadonlyArray<FirewallRule> =>
  values.map((value) => ({ type, value }))

const firewall = fc
  .record({
    ips: or([], list(ip)),
    cidrs: or([], list(cidr)),
    geo: fc.oneof(
      fc.record({ db: path, countries: or([], list(country)) }),
      fc.record({ db: or("", fc.constant(asIs(""))), countries: fc.constant({ toml: [], value: [] }) })
    ),
    limit: or(0, integer(0, 10_000)),
    window: or(60_000, duration(10, 86_400_000))
  })
  .map(({ ips, cidrs, geo, limit, window }): Said<Config["firewall"]> => ({
    toml: table({
      blocked_ips: ips.toml,
      blocked_cidrs: cidrs.toml,
      blocked_countries: geo.countries.toml,
      geoip_db: geo.db.toml,
      rate_limit: limit.toml,
      rate_window: window.toml
    }),
    value: {
      geoipDb: geo.db.value,
      rules: [...rulesOf("ip", ips.value), ...rulesOf("cidr", cidrs.value), ...rulesOf("country", geo.countries.value)],
      rateLimit: limit.value,
      rateWindowMs: window.value
    }
  }))

const proxy = fc
  .record({
    connect: or(5000, duration(10, 600_000)),
    hello: or(10_000, duration(10, 600_000)),
    handshake: or(10_000, duration(10, 600_000)),
    header: or(30_000, duration(10, 600_000)),
    response: or(300_000, fc.oneof(fc.constant({ toml: "0s", value: 0 }), duration(10, 604_800_000))),
    idle: or(300_000, duration(10, 604_800_000)),
    halfClose: or(30_000, duration(10, 604_800_000)),
    shutdown: or(30_000, duration(10, 3_600_000)),
    helloBytes: or(65_536, integer(256, 1_048_576))
  })
  .map((said): Said<Config["proxy"]> => ({
    toml: table({
      max_hello_bytes: said.helloBytes.toml,
      connect_timeout: said.connect.toml,
      hello_timeout: said.hello.toml,
      handshake_timeout: said.handshake.toml,
      header_timeout: said.header.toml,
      response_timeout: said.response.toml,
      idle_timeout: said.idle.toml,
      half_close_timeout: said.halfClose.toml,
      shutdown_timeout: said.shutdown.toml
    }),
    value: {
      connectTimeoutMs: said.connect.value,
      helloTimeoutMs: said.hello.value,
      handshakeTimeoutMs: said.handshake.value,
      headerTimeoutMs: said.header.value,
      responseTimeoutMs: said.response.value,
      idleTimeoutMs: said.idle.value,
      halfCloseTimeoutMs: said.halfClose.value,
      shutdownTimeoutMs: said.shutdown.value,
      helloBytesMax: said.helloBytes.value
    }
  }))

const log = fc
  .record({
    level: or("info", fc.constantFrom("debug" as const, "info" as const, "warn" as const, "error" as const).map(asIs)),
    format: or<Config["log"]["format"]>("text", fc.constantFrom("text" as const, "json" as const).map(asIs)),
    access: or(true, flag)
  })
  .map(({ level, format, access }): Said<Config["log"]> => ({
    toml: table({ level: level.toml, format: format.toml, access: access.toml }),
    value: { level: level.value, format: format.value, access: access.value }
  }))

const metrics = or(
  undefined,
  fc
    .record({
      addr: or("127.0.0.1:9090", listenAddress),
      path: or("/metrics", fc.constantFrom("/", "/m", "/a/b.c").map(asIs)),
      dashboard: fc.constant(asIs(false))
    })
    .map(({ addr, path, dashboard }): Said<Config["metrics"]> => ({
      toml: table({ addr: addr.toml, path: path.toml, dashboard: dashboard.toml }),
      value: { addr: addr.value, path: path.value, dashboard: dashboard.value }
    }))
)

const tracing = or(
  undefined,
  or(
    "http://127.0.0.1:4318",
    fc.constantFrom(asIs("https://otel.example.net/v1"), { toml: "http://[::1]:4318//", value: "http://[::1]:4318" })
  ).map(({ toml, value }) => ({ toml: table({ otlp_endpoint: toml }), value: { otlpEndpoint: value } }))
)

/** A document in any order of its tables, and the config that it is, warnings left out. */
export const randomConfig: fc.Arbitrary<{ readonly document: Table; readonly config: Omit<Config, "warnings"> }> = fc
  .record({ path, listeners, grpc, firewall, proxy, log, metrics, tracing })
  .chain(({ path, ...said }) =>
    fc
      .shuffledSubarray([...Object.entries(said), ["database", { toml: { path: path.toml } }] as const], {
        minLength: 8
      })
      .map((tables) => ({
        document: table(Object.fromEntries(tables.map(([name, { toml }]) => [name, toml]))),
        config: {
          database: { path: path.value },
          listeners: said.listeners.value,
          grpc: said.grpc.value,
          firewall: said.firewall.value,
          proxy: said.proxy.value,
          log: said.log.value,
          metrics: said.metrics.value,
          tracing: said.tracing.value
        }
      }))
  )
