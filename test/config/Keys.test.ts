import { assert, describe, it } from "@effect/vitest"
import { LISTENER, POLICY, ROUTE, SECTIONS, type Keys } from "../../src/config/Keys.ts"
import { linesOf, problemsOf, REQUIRED, withRoute } from "./Parsing.ts"

/** Where each table of keys stands: how a file opens it, and what its keys' paths begin with. */
const TABLES: ReadonlyArray<readonly [open: (line: string) => string, prefix: string, keys: Keys]> = [
  ...Object.entries(SECTIONS).map(
    ([name, keys]) =>
      [
        (line: string) =>
          name === "database" ? `[database]\n${line}\n[[listeners]]\naddr = ":1"` : `${REQUIRED}\n[${name}]\n${line}`,
        `${name}.`,
        keys
      ] as const
  ),
  [(line) => `database.path = "a.db"\n[[listeners]]\n${line}`, "listeners[0].", LISTENER],
  [(line) => `${REQUIRED}\n[[listeners.routes]]\n${line}`, "listeners[0].routes[0].", ROUTE],
  [
    (line) => withRoute(`mode = "l7"\ntls_cert = "a"\ntls_key = "b"\n[[listeners.routes.l7_policies]]\n${line}`),
    "listeners[0].routes[0].l7_policies[0].",
    POLICY
  ]
]

const CASES = TABLES.flatMap(([open, prefix, keys]) =>
  Object.entries(keys).map(([name, key]) => [`${prefix}${name}`, { open, name, key }] as const)
)

/** The problems at one path and below. */
const at = (path: string, text: string) => linesOf(text).filter((line) => line.startsWith(path))

describe("Keys", () => {
  it.each(CASES)("%s refuses a value of another type, once, and says what it takes", (path, { open, name, key }) => {
    assert.deepStrictEqual(at(path, open(`${name} = {}`)), [`${path}: a table is not ${key.value.expects}`])
  })

  it.each(CASES)("%s is suggested for its misspelling, and not reported as missing", (path, { open, name }) => {
    const misspelt = `${name.slice(0, 2)}${name.slice(3)}`
    assert.deepStrictEqual(at(path, open(`${misspelt} = 1`)), [])
    assert.include(
      linesOf(open(`${misspelt} = 1`)),
      `${path.slice(0, -name.length)}${misspelt}: unknown key; did you mean ${name}?`
    )
  })

  it.each(CASES)("%s is required or has a default that is right", (path, { open, key }) => {
    const problems = at(path, open(""))
    if (key.fallback === undefined) {
      assert.deepStrictEqual(problems, [`${path}: missing; it must be ${key.value.expects}`])
    } else {
      assert.deepStrictEqual(problems, [])
    }
  })

  it.each([
    ["listeners[0].max_connections", "0", "1048576", "-1", "1048577"],
    ["firewall.rate_limit", "0", "10000", "-1", "10001"],
    ["firewall.rate_window", '"10ms"', '"24h"', '"9ms"', '"24h1ms"'],
    ["proxy.connect_timeout", '"10ms"', '"10m"', '"9ms"', '"10m1ms"'],
    ["proxy.hello_timeout", '"10ms"', '"10m"', '"0s"', '"10m1ms"'],
    ["proxy.handshake_timeout", '"10ms"', '"10m"', '"9ms"', '"10m1ms"'],
    ["proxy.header_timeout", '"10ms"', '"10m"', '"9ms"', '"10m1ms"'],
    ["proxy.response_timeout", '"10ms"', '"168h"', '"9ms"', '"168h1ms"'],
    ["proxy.response_timeout", '"0s"', '"0ms"', '"1ms"', '"1000h"'],
    ["proxy.idle_timeout", '"10ms"', '"168h"', '"0s"', '"168h1ms"'],
    ["proxy.half_close_timeout", '"10ms"', '"168h"', '"9ms"', '"168h1ms"'],
    ["proxy.shutdown_timeout", '"10ms"', '"1h"', '"0s"', '"1h1ms"'],
    ["proxy.max_hello_bytes", "256", "1048576", "255", "1048577"],
    ["proxy.max_hello_bytes", "0x100", "1_048_576", "256.0", "9223372036854775808"]
  ])("%s takes %s and %s, and refuses %s and %s", (path, least, most, below, above) => {
    const { open, name } = CASES.find(([other]) => other === path)![1]
    assert.deepStrictEqual(at(path, open(`${name} = ${least}`)), [])
    assert.deepStrictEqual(at(path, open(`${name} = ${most}`)), [])
    for (const value of [below, above]) {
      const [line, ...others] = at(path, open(`${name} = ${value}`))
      assert.match(line ?? "", / is not (an integer|a duration|"0s" \(off\) or a duration) from .+ to /)
      assert.isEmpty(others)
    }
  })

  it.each([
    ["database.path", '""', '"" is empty; write a path'],
    ["database.path", '"a\\u0000b"', '"a\\u0000b" has a NUL character, which no path can have'],
    ["grpc.addr", '""', '"" is empty; write a path'],
    ["log.level", '"INFO"', '"INFO" is not one of "debug", "info", "warn", "error"'],
    [
      "metrics.addr",
      '"localhost:9090"',
      '"localhost:9090" names a host; a listener binds to ":port", "ip:port" or "[ip6]:port"'
    ],
    ["metrics.path", '"metrics"', '"metrics" is no path of at most 256 URL characters that starts with "/"'],
    ["metrics.path", '"/a?b"', '"/a?b" is no path of at most 256 URL characters that starts with "/"'],
    ["metrics.path", '"/healthz"', '"/healthz" is the health check\'s path; write another'],
    ["metrics.path", '"/"', '"/" is the dashboard\'s path; write another'],
    ["tracing.otlp_endpoint", '"localhost:4318"', '"localhost:4318" is no http:// or https:// URL'],
    ["tracing.otlp_endpoint", '"http://"', '"http://" is no http:// or https:// URL'],
    [
      "tracing.otlp_endpoint",
      '"http://h/?a"',
      '"http://h/?a" has a query or fragment; the exporter appends a path to it'
    ],
    ["listeners[0].addr", '":65536"', '":65536" has a port over 65535'],
    ["listeners[0].addr", '"::1:443"', '"::1:443" is not ":port", "ip:port" or "[ip6]:port"'],
    ["listeners[0].routes[0].hostname", '""', '"" is empty; write an exact host name such as git.example.net'],
    [
      "listeners[0].routes[0].hostname",
      '"192.0.2.1"',
      '"192.0.2.1" is an IP address; write an exact host name such as git.example.net'
    ],
    [
      "listeners[0].routes[0].hostname",
      '"a.b:443"',
      '"a.b:443" has a port; write an exact host name such as git.example.net'
    ],
    [
      "listeners[0].routes[0].hostname",
      '"a..b"',
      '"a..b" has an empty label; write an exact host name such as git.example.net'
    ],
    ["listeners[0].routes[0].backend", '":80"', '":80" has a host that is empty'],
    ["listeners[0].routes[0].backend", '"h:0"', '"h:0" has a port outside 1 to 65535'],
    [
      "listeners[0].routes[0].backend_server_name",
      '"::1"',
      '"::1" is an IP address; write an exact host name such as git.example.net'
    ],
    [
      "listeners[0].routes[0].l7_policies[0].value",
      '" "',
      '" " is not 1 to 1024 printable ASCII characters, not all spaces'
    ],
    [
      "listeners[0].routes[0].l7_policies[0].value",
      '"é"',
      '"é" is not 1 to 1024 printable ASCII characters, not all spaces'
    ]
  ])("%s = %s is refused", (path, value, message) => {
    const { open, name } = CASES.find(([other]) => other === path)![1]
    assert.deepStrictEqual(at(path, open(`${name} = ${value}`)), [`${path}: ${message}`])
  })

  it("takes paths, request paths and policies of the longest length, and none longer", () => {
    const pathOf = (length: number) => `${REQUIRED}\n[firewall]\ngeoip_db = "/${"x".repeat(length - 1)}"`
    assert.isEmpty(problemsOf(pathOf(4095)))
    assert.lengthOf(problemsOf(pathOf(4096)), 1)
    const requestPathOf = (length: number) => `${REQUIRED}\n[metrics]\npath = "/${"x".repeat(length - 1)}"`
    assert.isEmpty(problemsOf(requestPathOf(256)))
    assert.lengthOf(problemsOf(requestPathOf(257)), 1)
    const policyOf = (length: number) =>
      withRoute(`mode = "l7"
        tls_cert = "a"
        tls_key = "b"
        l7_policies = [{ type = "block_user_agent", value = "${"x".repeat(length)}" }]`)
    assert.isEmpty(problemsOf(policyOf(1024)))
    assert.lengthOf(problemsOf(policyOf(1025)), 1)
  })
})
