import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { builtBinary } from "./harness/Binary.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { runProgram } from "./harness/Program.ts"
import { type ProxyConfig, startProxy, tomlOf } from "./harness/Proxy.ts"
import { assertRefused } from "./harness/Refusal.ts"
import { connect } from "./harness/Wire.ts"

const mcProxy = (...args: ReadonlyArray<string>) => runProgram(process.execPath, [builtBinary(), ...args])

/** Runs `server` and `check` on a config file, until they end by themselves. */
const startWith = Effect.fnUntraced(function* (text: string) {
  const file = join(yield* temporaryFolder, "mc-proxy.toml")
  writeFileSync(file, text)
  return { file, server: yield* mcProxy("server", "-c", file), check: yield* mcProxy("check", "-c", file) }
})

/** Warnings are not what is looked at here. */
const quiet = (config: ProxyConfig) => tomlOf({ ...config, log: { level: "error" } })

type Ended = Effect.Success<ReturnType<typeof mcProxy>>

const failedWith = (stderr: string): Ended => ({ code: 1, signal: null, stdout: "", stderr })

/** It has failed with one line for a person, which starts so; no stack trace, no log. */
const assertSaid = (ended: Ended, start: string) => {
  assert.match(ended.stderr, /^mc-proxy: \P{Cc}+\n$/u)
  assert.strictEqual(ended.stderr.slice(0, "mc-proxy: ".length + start.length), `mc-proxy: ${start}`)
  assert.deepStrictEqual(ended, failedWith(ended.stderr))
}

it.live("says which address is in use, and exits 1", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}] })
    const { server } = yield* startWith(quiet({ listeners: [{ addr: proxy.address }] }))
    assertSaid(server, `cannot listen on ${proxy.address}: the address is in use`)

    const client = yield* connect(proxy.address)
    client.finish()
    yield* assertRefused(proxy, client, { outcome: "client_closed" })
  })
)

it.live("runs nothing at all when one of its listeners cannot bind", () =>
  Effect.gen(function* () {
    const listeners = [{ addr: "127.0.0.1:0" }, { addr: "192.0.2.1:8443" }, { addr: "127.0.0.2:0" }]
    const { server } = yield* startWith(quiet({ listeners }))
    assertSaid(server, "cannot listen on 192.0.2.1:8443: ")
  })
)

it.live("says what is wrong with a config file that cannot be read, and exits 1", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const missing = join(folder, "missing.toml")
    for (const command of ["server", "check"]) {
      assertSaid(yield* mcProxy(command, "-c", missing), `${missing}: no such file`)
      assertSaid(yield* mcProxy(command, "-c", folder), `${folder}: is a directory`)
    }
  })
)

it.live("shows where a config file is no TOML, and exits 1", () =>
  Effect.gen(function* () {
    const { check, file, server } = yield* startWith('[log]\nlevel = "info"\nformat = json\n')
    assert.isTrue(server.stderr.startsWith(`mc-proxy: ${file}: line 3, column 10: `), server.stderr)
    assert.include(server.stderr, "format = json")
    assert.notInclude(server.stderr, " at ")
    assert.deepStrictEqual(server, failedWith(server.stderr))
    assert.deepStrictEqual(check, server)
  })
)

it.live("refuses a GeoIP database that is none, and exits 1", () =>
  Effect.gen(function* () {
    const broken = fileURLToPath(new URL("../fixtures/geoip/libmaxminddb-corrupt-search-tree.mmdb", import.meta.url))
    const { check, file, server } = yield* startWith(quiet({ listeners: [{}], firewall: { geoip_db: broken } }))
    assertSaid(server, `GeoIP database ${broken} `)
    const problem = server.stderr.replace("mc-proxy: ", "")
    assert.deepStrictEqual(check, failedWith(`mc-proxy: ${file}: firewall.geoip_db: ${problem}`))
  })
)

it.live("refuses a rule by country without a database, and a route whose certificate does not load, and exits 1", () =>
  Effect.gen(function* () {
    const rules = yield* startWith(quiet({ listeners: [{}], firewall: { blocked_countries: ["DE"] } }))
    assertSaid(rules.server, `${rules.file}: firewall.blocked_countries: needs a database`)
    assert.deepStrictEqual(rules.check, rules.server)

    const route = { hostname: "a.test", backend: "127.0.0.1:1", mode: "l7", tls_cert: "a.pem", tls_key: "a.key" }
    const l7 = yield* startWith(quiet({ listeners: [{ routes: [route] }] }))
    assert.strictEqual(l7.server.code, 1)
    assert.match(l7.server.stderr, /^ {2}listeners\[0\]\.routes\[0\]\.tls_cert: ".*a\.pem" no such file/m)
    assert.match(l7.server.stderr, /^ {2}listeners\[0\]\.routes\[0\]\.tls_key: ".*a\.key" no such file/m)
    assert.deepStrictEqual(l7.check, l7.server)
  })
)

it.live("reports every mistake of a config at once, each with its place, from check as from server", () =>
  Effect.gen(function* () {
    const { check, file, server } = yield* startWith(MISTAKES)
    const [headline, ...problems] = check.stderr.trimEnd().split("\n")
    const places = problems.map((line) => /^ {2}([^ ]+): ./.exec(line)?.[1])
    assert.deepStrictEqual(places, MISTAKEN)
    assert.strictEqual(headline, `mc-proxy: ${file}: ${MISTAKEN.length} problems`)
    assert.include(check.stderr, "did you mean level?")
    assert.deepStrictEqual(check, failedWith(check.stderr))
    assert.deepStrictEqual(server, check)
  })
)

const MISTAKES = `
nonsense = 1
[database]
path = ""
[log]
levle = "info"
format = "xml"
[proxy]
idle_timeout = "1x"
max_hello_bytes = 1
[firewall]
blocked_ips = ["127.0.0.1", "127.0.0.256"]
blocked_cidrs = ["10.0.0.1/8"]
blocked_countries = ["de"]
[[listeners]]
addr = "host:0"
[[listeners.routes]]
hostname = "*.test"
backend = "127.0.0.1"
[[listeners.routes]]
hostname = "a.test"
backend = "127.0.0.1:1"
[[listeners.routes]]
hostname = "A.Test."
backend = "127.0.0.1:1"
`

const MISTAKEN = [
  "nonsense",
  "database.path",
  "log.levle",
  "log.format",
  "proxy.idle_timeout",
  "proxy.max_hello_bytes",
  "firewall.blocked_ips[1]",
  "firewall.blocked_cidrs[0]",
  "firewall.blocked_countries",
  "firewall.blocked_countries[0]",
  "listeners[0].addr",
  "listeners[0].routes[0].hostname",
  "listeners[0].routes[0].backend",
  "listeners[0].routes[2].hostname"
]

it.live("reports a wrong key and a broken file that the config names in one check", () =>
  Effect.gen(function* () {
    const config = quiet({ listeners: [{}], firewall: { geoip_db: "missing.mmdb" } })
    const { check } = yield* startWith(`${config}\n[proxy]\nidle_timout = "5m"\n`)
    assert.include(check.stderr, "proxy.idle_timout: unknown key")
    assert.include(check.stderr, "firewall.geoip_db: ")
    assert.strictEqual(check.code, 1)
  })
)

it.live("checks a config while the proxy runs on it, and exits 0", () =>
  Effect.gen(function* () {
    const config = { listeners: [{ routes: [{ hostname: "a.test", backend: "localhost:443" }] }] }
    const proxy = yield* startProxy(config)
    const file = join(proxy.folder, "bound.toml")
    writeFileSync(file, tomlOf({ listeners: [{ ...config.listeners[0], addr: proxy.address }] }))
    const { code, stdout } = yield* mcProxy("check", "-c", file)
    assert.deepStrictEqual(
      { code, stdout },
      {
        code: 0,
        stdout: [file, join(proxy.folder, "mc-proxy.db")]
          .map((each) => `${each}: ok (listeners: 1, routes: 1, firewall rules: 0)\n`)
          .join("")
      }
    )
  })
)

it.live("exits 2 with a hint when it is called wrongly", () =>
  Effect.gen(function* () {
    const hint = (command: string) => `See ${command} --help\n`
    const calls = [
      [["serve"], /server/, hint("mc-proxy")],
      [["server"], /--config/, hint("mc-proxy server")],
      [["server", "-c"], /--config/, hint("mc-proxy server")],
      [["server", "--conf", "x"], /--conf\b.*--config/, hint("mc-proxy server")],
      [["check", "-c", "x", "y"], /"y"/, hint("mc-proxy check")],
      [["check", "-c", "x", "\u001b[31m\nred"], /red/, hint("mc-proxy check")]
    ] as const
    for (const [args, problem, lastLine] of calls) {
      const { code, stderr, stdout } = yield* mcProxy(...args)
      assert.deepStrictEqual({ code, stdout }, { code: 2, stdout: "" })
      const [line, ...rest] = stderr.split("\n")
      assert.match(line!, /^mc-proxy: \P{Cc}+$/u)
      assert.match(line!, problem)
      assert.strictEqual(rest.join("\n"), lastLine)
    }
    const { code, stderr, stdout } = yield* mcProxy()
    assert.deepStrictEqual({ code, stdout }, { code: 2, stdout: "" })
    assert.match(stderr, /^USAGE\n {2}mc-proxy <subcommand>/m)
  })
)

it.live("prints help and version on stdout, and exits 0", () =>
  Effect.gen(function* () {
    const help = yield* mcProxy("--help")
    assert.deepStrictEqual({ code: help.code, stderr: help.stderr }, { code: 0, stderr: "" })
    for (const word of ["server", "check", "devserver", "--version"]) assert.include(help.stdout, word)
    const serverHelp = yield* mcProxy("server", "--help")
    assert.deepStrictEqual({ code: serverHelp.code, stderr: serverHelp.stderr }, { code: 0, stderr: "" })
    assert.match(serverHelp.stdout, /--config, -c FILE/)
    const version = yield* mcProxy("--version")
    assert.deepStrictEqual({ code: version.code, stderr: version.stderr }, { code: 0, stderr: "" })
    assert.match(version.stdout, /^mc-proxy \d+\.\d+\.\d+\n$/)
  })
)
