import { assert, describe, it } from "@effect/vitest"
import type { Config } from "../../src/config/Config.ts"
import { VARIABLES } from "../../src/config/Environment.ts"
import { configOf, FOLDER, linesOf, REQUIRED } from "./Parsing.ts"

/** Each variable with a value that is no default, one that is wrong, and what comes of the right one. */
const OVERRIDES: ReadonlyArray<
  readonly [variable: string, text: string, wrong: string, read: (config: Config) => unknown, value: unknown]
> = [
  ["MCPROXY_DATABASE_PATH", "other.db", "a\0b", ({ database }) => database.path, `${FOLDER}/other.db`],
  ["MCPROXY_GRPC_ADDR", "run/a.sock", "a\0b", ({ grpc }) => grpc?.addr, `${FOLDER}/run/a.sock`],
  ["MCPROXY_FIREWALL_GEOIP_DB", "g.mmdb", "a\0b", ({ firewall }) => firewall.geoipDb, `${FOLDER}/g.mmdb`],
  ["MCPROXY_FIREWALL_RATE_LIMIT", "100", "1e2", ({ firewall }) => firewall.rateLimit, 100],
  ["MCPROXY_FIREWALL_RATE_WINDOW", "1m30s", "90", ({ firewall }) => firewall.rateWindowMs, 90_000],
  ["MCPROXY_PROXY_CONNECT_TIMEOUT", "1s", "0s", ({ proxy }) => proxy.connectTimeoutMs, 1000],
  ["MCPROXY_PROXY_HELLO_TIMEOUT", "2s", "2", ({ proxy }) => proxy.helloTimeoutMs, 2000],
  ["MCPROXY_PROXY_HANDSHAKE_TIMEOUT", "3s", "3", ({ proxy }) => proxy.handshakeTimeoutMs, 3000],
  ["MCPROXY_PROXY_HEADER_TIMEOUT", "4s", "4", ({ proxy }) => proxy.headerTimeoutMs, 4000],
  ["MCPROXY_PROXY_RESPONSE_TIMEOUT", "0s", "off", ({ proxy }) => proxy.responseTimeoutMs, 0],
  ["MCPROXY_PROXY_IDLE_TIMEOUT", "1h", "1d", ({ proxy }) => proxy.idleTimeoutMs, 3_600_000],
  ["MCPROXY_PROXY_HALF_CLOSE_TIMEOUT", "7s", "7", ({ proxy }) => proxy.halfCloseTimeoutMs, 7000],
  ["MCPROXY_PROXY_SHUTDOWN_TIMEOUT", "8s", "-8s", ({ proxy }) => proxy.shutdownTimeoutMs, 8000],
  ["MCPROXY_PROXY_MAX_HELLO_BYTES", "1024", "64KiB", ({ proxy }) => proxy.helloBytesMax, 1024],
  ["MCPROXY_LOG_LEVEL", "debug", "trace", ({ log }) => log.level, "debug"],
  ["MCPROXY_LOG_FORMAT", "json", "xml", ({ log }) => log.format, "json"],
  ["MCPROXY_LOG_ACCESS", "false", "no", ({ log }) => log.access, false],
  ["MCPROXY_METRICS_ADDR", "[::0]:9", "9", ({ metrics }) => metrics?.addr, "[::]:9"],
  ["MCPROXY_METRICS_PATH", "/m", "/healthz", ({ metrics }) => metrics?.path, "/m"],
  ["MCPROXY_METRICS_DASHBOARD", "false", "0", ({ metrics }) => metrics?.dashboard, false],
  ["MCPROXY_TRACING_OTLP_ENDPOINT", "https://o:1", "o:1", ({ tracing }) => tracing?.otlpEndpoint, "https://o:1"]
]

/** Every scalar outside `[[listeners]]` set, to something else than the overrides. */
const FILE = `${REQUIRED}
[grpc]
addr = "file.sock"
[firewall]
geoip_db = "file.mmdb"
rate_limit = 1
rate_window = "1s"
[proxy]
connect_timeout = "100ms"
hello_timeout = "100ms"
handshake_timeout = "100ms"
header_timeout = "100ms"
response_timeout = "100ms"
idle_timeout = "100ms"
half_close_timeout = "100ms"
shutdown_timeout = "100ms"
max_hello_bytes = 300
[log]
level = "warn"
format = "text"
access = true
[metrics]
addr = ":1"
path = "/file"
dashboard = true
[tracing]
otlp_endpoint = "http://file:1"
`

describe("Environment", () => {
  it("has a variable for every scalar outside the listeners", () => {
    assert.sameMembers(
      [...VARIABLES],
      OVERRIDES.map(([variable]) => variable)
    )
  })

  it.each(OVERRIDES)("%s wins over the file", (variable, text, _wrong, read, value) => {
    assert.notDeepEqual(read(configOf(FILE)), value)
    assert.deepStrictEqual(read(configOf(FILE, { [variable]: text })), value)
  })

  it.each(OVERRIDES)(
    "%s is read where the file leaves its key or section out",
    (variable, text, _wrong, read, value) => {
      const { warnings, ...config } = configOf(REQUIRED, { [variable]: text })
      assert.deepStrictEqual(read({ ...config, warnings }), value)
      assert.isEmpty(warnings)
    }
  )

  it.each(OVERRIDES)("%s is named with its value where that is wrong", (variable, _text, wrong) => {
    for (const file of [FILE, REQUIRED]) {
      const [line, ...others] = linesOf(file, { [variable]: wrong })
      assert.isTrue(line?.startsWith(`${variable}: ${JSON.stringify(wrong)} `), line)
      assert.isEmpty(others)
    }
  })

  it.each(OVERRIDES)("%s counts as unset where it is empty, and creates no section", (variable) => {
    assert.deepStrictEqual(configOf(FILE, { [variable]: "" }), configOf(FILE))
    assert.deepStrictEqual(configOf(REQUIRED, { [variable]: "" }), configOf(REQUIRED))
  })

  it("is enough for a required key, and for a section's defaults", () => {
    const listener = '[[listeners]]\naddr = ":1"'
    const config = configOf(listener, { MCPROXY_DATABASE_PATH: "/a.db", MCPROXY_METRICS_DASHBOARD: "false" })
    assert.strictEqual(config.database.path, "/a.db")
    assert.deepStrictEqual(config.metrics, { addr: "127.0.0.1:9090", path: "/metrics", dashboard: false })
  })

  it("hides no mistake of the file", () => {
    assert.deepStrictEqual(linesOf(`${REQUIRED}\n[log]\nlevel = "all"`, { MCPROXY_LOG_LEVEL: "info" }), [
      'log.level: "all" is not one of "debug", "info", "warn", "error"'
    ])
  })

  it("names the variable of a socket's path that is too long, and of a metrics path that is taken", () => {
    assert.match(
      linesOf(REQUIRED, { MCPROXY_GRPC_ADDR: "s".repeat(107) })[0] ?? "",
      /^MCPROXY_GRPC_ADDR: .* has 121 bytes; the path of a Unix socket has at most 107$/
    )
    assert.deepStrictEqual(linesOf(`${REQUIRED}\n[metrics]`, { MCPROXY_METRICS_PATH: "/" }), [
      'MCPROXY_METRICS_PATH: "/" is the dashboard\'s path; write another'
    ])
  })

  it("warns of a variable that is a slip away from one that is read", () => {
    assert.deepStrictEqual(
      configOf(REQUIRED, { MCPROXY_LOG_LEVL: "debug", MCPROXY_LOGLEVEL: "debug", "MCPROXY_LOG_LEVEL ": "debug" })
        .warnings,
      [
        "MCPROXY_LOG_LEVL: ignored, as no key has this name; did you mean MCPROXY_LOG_LEVEL?",
        "MCPROXY_LOGLEVEL: ignored, as no key has this name; did you mean MCPROXY_LOG_LEVEL?",
        '"MCPROXY_LOG_LEVEL ": ignored, as no key has this name; did you mean MCPROXY_LOG_LEVEL?'
      ]
    )
  })

  it("warns of a variable for a list, which only the file can hold", () => {
    assert.deepStrictEqual(configOf(REQUIRED, { MCPROXY_FIREWALL_BLOCKED_IPS: "192.0.2.1" }).warnings, [
      "MCPROXY_FIREWALL_BLOCKED_IPS: ignored; firewall.blocked_ips is a list, which only the file can hold"
    ])
  })

  it("leaves other programs' variables alone", () => {
    const environment = {
      MCPROXY_SERVICE_HOST: "10.0.0.1",
      MCPROXY_PORT: "tcp://10.0.0.1:443",
      PATH: "/bin",
      LOG_LEVEL: "x"
    }
    assert.deepStrictEqual(configOf(REQUIRED, environment), configOf(REQUIRED))
  })
})
