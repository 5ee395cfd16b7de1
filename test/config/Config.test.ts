import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { stringify } from "smol-toml"
import type { Config } from "../../src/config/Config.ts"
import { ConfigError } from "../../src/config/ConfigError.ts"
import { parseHostname, type Hostname } from "../../src/snapshot/Hostname.ts"
import { configOf, errorOf, linesOf, parse } from "./Parsing.ts"
import { randomConfig } from "./RandomConfig.ts"

const hostname = (name: string): Hostname => Result.getOrThrow(parseHostname(name))

/** A config with every key, at its default where it has one. */
const COMPLETE = `
[database]
path = "/srv/mc-proxy/mc-proxy.db"

[[listeners]]
addr = ":443"
proxy_protocol = false
trusted_proxies = []
max_connections = 0

  [[listeners.routes]]
  hostname = "git.example.net"
  backend = "127.0.0.1:18443"
  mode = "l4"
  send_proxy_protocol = false

  [[listeners.routes]]
  hostname = "api.example.net"
  backend = "127.0.0.1:8080"
  mode = "l7"
  tls_cert = "/srv/mc-proxy/certs/api.pem"
  tls_key = "/srv/mc-proxy/certs/api.key"
  backend_tls = false
  backend_protocol = "h2"
  backend_ca = ""
  backend_server_name = ""
  send_proxy_protocol = false
    [[listeners.routes.l7_policies]]
    type = "block_user_agent"
    value = "BadBot"

[grpc]
addr = "/srv/mc-proxy/mc-proxy.sock"

[firewall]
geoip_db = ""
blocked_ips = []
blocked_cidrs = []
blocked_countries = []
rate_limit = 0
rate_window = "1m"

[proxy]
connect_timeout = "5s"
hello_timeout = "10s"
handshake_timeout = "10s"
header_timeout = "30s"
response_timeout = "5m"
idle_timeout = "5m"
half_close_timeout = "30s"
shutdown_timeout = "30s"
max_hello_bytes = 65536

[log]
level = "info"
format = "text"
access = true

[metrics]
addr = "127.0.0.1:9090"
path = "/metrics"
dashboard = true

[tracing]
otlp_endpoint = "http://127.0.0.1:4318"
`

const COMPLETE_CONFIG: Config = {
  database: { path: "/srv/mc-proxy/mc-proxy.db" },
  listeners: [
    {
      addr: ":443",
      proxyProtocol: false,
      trustedProxies: [],
      maxConnections: 0,
      routes: [
        { hostname: hostname("git.example.net"), backend: "127.0.0.1:18443", sendProxyProtocol: false, mode: "l4" },
        {
          hostname: hostname("api.example.net"),
          backend: "127.0.0.1:8080",
          sendProxyProtocol: false,
          mode: "l7",
          tlsCert: "/srv/mc-proxy/certs/api.pem",
          tlsKey: "/srv/mc-proxy/certs/api.key",
          backendProtocol: "h2",
          backendTls: false,
          backendCa: "",
          backendServerName: "",
          l7Policies: [{ type: "block_user_agent", value: "BadBot" }]
        }
      ]
    }
  ],
  grpc: { addr: "/srv/mc-proxy/mc-proxy.sock" },
  firewall: { geoipDb: "", rules: [], rateLimit: 0, rateWindowMs: 60_000 },
  proxy: {
    connectTimeoutMs: 5000,
    helloTimeoutMs: 10_000,
    handshakeTimeoutMs: 10_000,
    headerTimeoutMs: 30_000,
    responseTimeoutMs: 300_000,
    idleTimeoutMs: 300_000,
    halfCloseTimeoutMs: 30_000,
    shutdownTimeoutMs: 30_000,
    helloBytesMax: 65_536
  },
  log: { level: "info", format: "text", access: true },
  metrics: { addr: "127.0.0.1:9090", path: "/metrics", dashboard: true },
  tracing: { otlpEndpoint: "http://127.0.0.1:4318" },
  warnings: []
}

/** A mistake of every kind that a file can hold beside others. */
const MISTAKEN = `
title = "production"
[databse]
path = "x.db"
[[listeners]]
adr = ":443"
max_connections = 70000000
proxy_protocol = "yes"
  [[listeners.routes]]
  hostname = "*.Example.net"
  backend = "10.0.0.1"
  tls_cert = "a.pem"
  backend_tls = false
  [[listeners.routes]]
  backend = "10.0.0.1:99999"
  hostname = "GIT.example.net."
  mode = "l7"
  backend_ca = "ca.pem"
    [[listeners.routes.l7_policies]]
    type = "require_header"
    value = "bad name"
    send_proxy_protocol = true
  [[listeners.routes]]
  hostname = "git.example.net"
  mode = "l5"
  tls_crt = "x"
[log]
level = "verbose"
access = "true"
[[listeners]]
addr = "[::ffff:127.0.0.1]:443"
trusted_proxies = ["10.0.0.0/8", "10.0.0.1/8", 7, "\\u202e\\u001b[31m"]
[[listeners]]
addr = "127.0.0.1:443"
routes = "none"
[grpc]
addr = ""
[firewall]
blocked_ips = ["192.0.2.1", "x", "01.2.3.4"]
blocked_cidrs = "10.0.0.0/8"
blocked_countries = ["DE", "de"]
rate_limit = 10001
rate_window = 5
[proxy]
conect_timeout = "1.5s"
hello_timeout = "1s2m"
idle_timeout = "0s"
response_timeout = "0s"
max_hello_bytes = 65536.0
[metrics]
path = "/healthz"
[tracing]
otlp_endpoint = "http://me:secret@host/x"
`

const MISTAKEN_REPORT = `mc-proxy.toml: 39 problems
  title: unknown key; known here: listeners, database, grpc, firewall, proxy, log, metrics, tracing
  databse: unknown key; did you mean database?
  listeners[0].adr: unknown key; did you mean addr?
  listeners[0].max_connections: 70000000 is not an integer from 0 to 1048576
  listeners[0].proxy_protocol: "yes" is not true or false
  listeners[0].routes[0]: mode = "l4" takes no tls_cert or backend_tls; set mode = "l7" or remove them
  listeners[0].routes[0].hostname: "*.Example.net" has a wildcard; write an exact host name such as git.example.net
  listeners[0].routes[0].backend: "10.0.0.1" is not "host:port", "ip:port" or "[ip6]:port"
  listeners[0].routes[1]: mode = "l7" needs tls_cert and tls_key; write the path of each PEM file
  listeners[0].routes[1]: backend_tls = false takes no backend_ca; set backend_tls = true or remove it
  listeners[0].routes[1].backend: "10.0.0.1:99999" has a port outside 1 to 65535
  listeners[0].routes[1].l7_policies[0].value: "bad name" is no header name such as "x-api-key"
  listeners[0].routes[1].l7_policies[0].send_proxy_protocol: unknown key; it belongs to [[listeners.routes]]
  listeners[0].routes[2].backend: missing; it must be "host:port", "ip:port" or "[ip6]:port"
  listeners[0].routes[2].hostname: "git.example.net" is listeners[0].routes[1].hostname already; a listener has one route for a hostname
  listeners[0].routes[2].mode: "l5" is not one of "l4", "l7"
  listeners[0].routes[2].tls_crt: unknown key; did you mean tls_cert?
  listeners[1].trusted_proxies[1]: "10.0.0.1/8" has host bits set beyond /8; write an address or a network such as 10.0.0.0/8
  listeners[1].trusted_proxies[2]: 7 is not an address or a network such as 10.0.0.0/8
  listeners[1].trusted_proxies[3]: "\\u202e\\u001b[31m" is neither an IP address nor a CIDR; write an address or a network such as 10.0.0.0/8
  listeners[2].addr: "127.0.0.1:443" is listeners[1].addr already; give its routes to that listener
  listeners[2].routes: "none" is not an array of tables; start each with [[listeners.routes]]
  log.level: "verbose" is not one of "debug", "info", "warn", "error"
  log.access: "true" is not true or false
  grpc.addr: "" is empty; write a path
  firewall.blocked_ips[1]: "x" is no IP address; write an address such as 192.0.2.7 or 2001:db8::7
  firewall.blocked_ips[2]: "01.2.3.4" is no IP address; write an address such as 192.0.2.7 or 2001:db8::7
  firewall.blocked_cidrs: "10.0.0.0/8" is not an array, each item a network such as 10.0.0.0/8, its host bits zero
  firewall.blocked_countries: needs a database to tell countries by; set firewall.geoip_db to the path of an .mmdb file
  firewall.blocked_countries[1]: "de" is not two upper-case letters; write an ISO 3166-1 code such as DE
  firewall.rate_limit: 10001 is not an integer from 0 to 10000
  firewall.rate_window: 5 is not a duration from 10ms to 24h, such as "5s" or "1m30s"
  proxy.conect_timeout: unknown key; did you mean connect_timeout?
  proxy.hello_timeout: "1s2m" is no duration such as "300ms", "5s", "1m30s" or "2h"
  proxy.idle_timeout: "0s" is not a duration from 10ms to 168h, such as "5s" or "1m30s"
  proxy.max_hello_bytes: 65536.0 is not an integer from 256 to 1048576
  metrics.path: "/healthz" is the health check's path; write another
  tracing.otlp_endpoint: "http://…@host/x" has a user name or password, and none is sent
  MCPROXY_LOG_FORMAT: "xml" is not one of "text", "json"`

describe("Config", () => {
  it("reads every key of a complete file", () => {
    assert.deepStrictEqual(configOf(COMPLETE), COMPLETE_CONFIG)
  })

  it("has the defaults that the documentation states", () => {
    const text = `
      [database]
      path = "/srv/mc-proxy/mc-proxy.db"
      [[listeners]]
      addr = ":443"
      [[listeners.routes]]
      hostname = "git.example.net"
      backend = "127.0.0.1:18443"
      [[listeners.routes]]
      hostname = "api.example.net"
      backend = "127.0.0.1:8080"
      mode = "l7"
      tls_cert = "/srv/mc-proxy/certs/api.pem"
      tls_key = "/srv/mc-proxy/certs/api.key"
      [[listeners.routes.l7_policies]]
      type = "block_user_agent"
      value = "BadBot"
      [grpc]
      [metrics]
      [tracing]`
    assert.deepStrictEqual(configOf(text), COMPLETE_CONFIG)
  })

  it("has no admin API, metrics or tracing where their tables are left out", () => {
    const { grpc, metrics, tracing } = configOf('database.path = "/a.db"\nlisteners = [{ addr = ":443" }]')
    assert.deepStrictEqual({ grpc, metrics, tracing }, { grpc: undefined, metrics: undefined, tracing: undefined })
  })

  it("reports all mistakes of a file at once, in the file's order, the environment's last", () => {
    assert.strictEqual(errorOf(MISTAKEN, { MCPROXY_LOG_FORMAT: "xml" }).message, MISTAKEN_REPORT)
  })

  it("reports an empty file as what is missing", () => {
    assert.deepStrictEqual(linesOf(""), [
      "listeners: missing; write at least one [[listeners]] with its addr",
      "database.path: missing; it must be a path"
    ])
  })

  it("reads any right config, its tables in any order, as what it says", () => {
    fc.assert(
      fc.property(randomConfig, ({ document, config }) => {
        const { warnings: _, ...read } = configOf(stringify(document))
        assert.deepStrictEqual(read, config)
      })
    )
  })

  it("answers any damaged file with a config or a report, and never throws", () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 3 }),
      fc.constantFrom("\n", "[", "]]", '"', "= ", "[[", ".", "0", "\u0000")
    )
    const edit = fc.tuple(fc.nat(), fc.nat({ max: 12 }), piece)
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
        const text = edits.reduce((damaged, [at, length, put]) => {
          const start = at % damaged.length
          return damaged.slice(0, start) + put + damaged.slice(start + length)
        }, COMPLETE)
        assertAnswered(text)
      }),
      { numRuns: 500 }
    )
  })

  it("answers any value at any key with a config or a report that names a place", () => {
    const scalar = fc.oneof(fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.date({ noInvalidDate: true }))
    const value = fc.oneof(scalar, fc.array(scalar), fc.dictionary(fc.string(), scalar), fc.array(fc.constant({})))
    fc.assert(
      fc.property(
        randomConfig,
        fc.array(fc.tuple(fc.nat(), value), { minLength: 1, maxLength: 4 }),
        (right, changes) => {
          for (const [at, changed] of changes) {
            const places = placesOf(right.document)
            const [parent, key] = places[at % places.length]!
            parent[key] = changed
          }
          assertAnswered(stringify(right.document))
        }
      ),
      { numRuns: 300 }
    )
  })
})

const assertAnswered = (text: string): void => {
  const result = parse(text)
  if (Result.isSuccess(result)) return
  assert.instanceOf(result.failure, ConfigError)
  assert.isNotEmpty(result.failure.problems)
  assert.match(result.failure.message, /^[^\p{C}\p{Zl}\p{Zp}]*(?:\n[^\p{C}\p{Zl}\p{Zp}]*)*$/u)
  for (const { path, message } of result.failure.problems) {
    assert.isNotEmpty(path)
    assert.isNotEmpty(message)
  }
}

/** Every key and index of a document, with what holds it. */
const placesOf = (value: unknown): ReadonlyArray<readonly [parent: Record<string, unknown>, key: string]> => {
  if (typeof value !== "object" || value === null || value instanceof Date) return []
  const parent = value as Record<string, unknown>
  return Object.keys(parent).flatMap((key) => [[parent, key] as const, ...placesOf(parent[key])])
}
