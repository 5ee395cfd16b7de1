import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { execFileSync } from "node:child_process"
import { parseConfig } from "../../src/config/Config.ts"
import { firstConfig } from "../../src/devserver/ConfigFile.ts"
import { API, ECHO, HELLO, UNROUTED } from "../../src/devserver/Demo.ts"
import type { Prepared } from "../../src/devserver/Devserver.ts"
import { instructions, type Running } from "../../src/devserver/Instructions.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import type { Listener } from "../../src/snapshot/Snapshot.ts"

const preparedIn = (folder: string): Prepared => ({
  folder,
  configFile: `${folder}/mc-proxy.toml`,
  created: true,
  certificates: {
    authorityFile: `${folder}/certs/ca.pem`,
    identities: {
      hello: { certificate: "", key: "" },
      echo: { certificate: "", key: "" },
      api: { certificate: "", key: "" }
    },
    replacedFor: []
  }
})

const FIRST_CONFIG = Result.getOrThrow(
  parseConfig(firstConfig(), { file: "", environment: {}, resolvePath: (path) => path })
)
const [LISTENER] = FIRST_CONFIG.listeners as readonly [Listener]

const running = (overrides: Partial<Running> = {}): Running => ({
  prepared: preparedIn("/srv/dev"),
  config: { listeners: FIRST_CONFIG.listeners, grpc: undefined, metrics: undefined },
  bound: new Map(),
  environment: {},
  ...overrides
})

const listeningOn = (addr: string): Running =>
  running({ config: { listeners: [{ ...LISTENER, addr }], grpc: undefined, metrics: undefined } })

const GET_STATUS = "http://localhost/mc_proxy.v1.ProxyAdminService/GetStatus"

const curlLines = (text: string): ReadonlyArray<string> =>
  text.split("\n").filter((line) => /^ +(?:printf .* \| )?curl /.test(line))

/** The words of each command, as a shell splits them. */
const wordsOf = (lines: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> =>
  execFileSync("sh", ["-c", `curl() { printf '%s\\0' "$@"; printf '\\n'; }\n${lines.join("\n")}`], { encoding: "utf8" })
    .split("\0\n")
    .slice(0, -1)
    .map((command) => command.split("\0"))

/** Where each command goes: its `--resolve`, and the URL. */
const targetsOf = (of: Running): ReadonlyArray<readonly [string | undefined, string | undefined]> =>
  wordsOf(curlLines(instructions(of))).map((words) => [words[words.indexOf("--resolve") + 1], words.at(-1)])

describe("instructions", () => {
  it("ask each demo, slowly and with a body too, and a name that is refused", () => {
    const name = (host: string) => `${host}:8443:127.0.0.1`
    assert.deepStrictEqual(targetsOf(running()), [
      [name(HELLO.hostname), `https://${HELLO.hostname}:8443/`],
      [name(ECHO.hostname), `https://${ECHO.hostname}:8443/`],
      [name(API.hostname), `https://${API.hostname}:8443/`],
      [name(HELLO.hostname), `https://${HELLO.hostname}:8443/slow`],
      [name(API.hostname), `https://${API.hostname}:8443/echo`],
      [name(API.hostname), `https://${API.hostname}:8443/grpc.health.v1.Health/Check`],
      [name(UNROUTED), `https://${UNROUTED}:8443/`]
    ])
  })

  it("say what runs where, where the config is, and how to stop", () => {
    const text = instructions(running())
    for (const told of [
      "127.0.0.1:8443\n",
      `${HELLO.hostname} -> ${HELLO.backend}  (demo backend)\n`,
      `${ECHO.hostname} -> ${ECHO.backend}  (demo backend)\n`,
      "Config: /srv/dev/mc-proxy.toml",
      "Ctrl-C"
    ]) {
      assert.include(text, told)
    }
  })

  it("survive a shell whatever the folder is called", () => {
    const names = fc.stringMatching(/^[ -~äß€]{1,12}$/).filter((name) => !name.includes("/"))
    fc.assert(
      fc.property(names, (name) => {
        const commands = wordsOf(curlLines(instructions(running({ prepared: preparedIn(`/srv/${name}`) }))))
        assert.strictEqual(commands.length, 7)
        for (const words of commands) {
          assert.strictEqual(words[words.indexOf("--cacert") + 1], `/srv/${name}/certs/ca.pem`)
        }
      }),
      { numRuns: 50, examples: [["it's"], ['$HOME `id` "x" \\'], ["-x"], ["a b"], ["*"]] }
    )
  })

  it("reach a listener on all addresses, on IPv6, and where port 0 has led", () => {
    const resolveOf = (of: Running) => targetsOf(of)[0]?.[0]
    assert.strictEqual(resolveOf(listeningOn(":443")), `${HELLO.hostname}:443:127.0.0.1`)
    assert.strictEqual(resolveOf(listeningOn("0.0.0.0:443")), `${HELLO.hostname}:443:127.0.0.1`)
    assert.strictEqual(resolveOf(listeningOn("[::]:443")), `${HELLO.hostname}:443:[::1]`)
    assert.strictEqual(resolveOf(listeningOn("[2001:db8::7]:443")), `${HELLO.hostname}:443:[2001:db8::7]`)
    assert.strictEqual(resolveOf(listeningOn("127.0.0.9:443")), `${HELLO.hostname}:443:127.0.0.9`)
    const bound = new Map([["127.0.0.1:0", { ip: parseIpAddress("127.0.0.1")!, port: 40123 }]])
    assert.strictEqual(resolveOf({ ...listeningOn("127.0.0.1:0"), bound }), `${HELLO.hostname}:40123:127.0.0.1`)
  })

  it("go around a proxy that curl would take from the environment", () => {
    const optionsOf = (environment: Running["environment"]) =>
      wordsOf(curlLines(instructions(running({ environment }))))
    for (const words of optionsOf({ https_proxy: "http://proxy:3128" })) {
      assert.strictEqual(words[words.indexOf("--noproxy") + 1], "*")
    }
    for (const words of optionsOf({ https_proxy: "", PATH: "/bin" })) assert.notInclude(words, "--noproxy")
  })

  it("send a PROXY header where the listener asks for one", () => {
    const config = { listeners: [{ ...LISTENER, proxyProtocol: true }], grpc: undefined, metrics: undefined }
    for (const words of wordsOf(curlLines(instructions(running({ config })))))
      assert.include(words, "--haproxy-protocol")
    for (const words of wordsOf(curlLines(instructions(running())))) assert.notInclude(words, "--haproxy-protocol")
  })

  it("manage the proxy through its socket, wherever that is", () => {
    const socket = "/srv/it's here/mc-proxy.sock"
    const text = instructions(
      running({ config: { listeners: FIRST_CONFIG.listeners, grpc: { addr: socket }, metrics: undefined } })
    )
    const asked = wordsOf(curlLines(text)).filter((words) => words.includes("--unix-socket"))
    assert.deepStrictEqual(asked, [
      ["--unix-socket", socket, "--header", "content-type:application/json", "--data", "{}", GET_STATUS]
    ])
    const quoted = `'/srv/it'\\''s here/mc-proxy.sock'`
    assert.include(text, `npx mcproxyctl --socket ${quoted} status\n`)
    assert.notInclude(instructions(running()), "mcproxyctl")
  })

  it("ask how the proxy is, wherever it tells", () => {
    const urlsOf = (addr: string, environment: Running["environment"] = {}) => {
      const config = {
        listeners: FIRST_CONFIG.listeners,
        grpc: undefined,
        metrics: { addr, path: "/m;x", dashboard: true }
      }
      return wordsOf(curlLines(instructions(running({ config, environment })))).slice(-2)
    }
    assert.deepStrictEqual(urlsOf(":9090"), [["http://127.0.0.1:9090/healthz"], ["http://127.0.0.1:9090/m;x"]])
    assert.deepStrictEqual(urlsOf("[2001:db8::1]:9090")[0], ["http://[2001:db8::1]:9090/healthz"])
    assert.deepStrictEqual(urlsOf(":9090", { http_proxy: "http://p" })[0], [
      "--noproxy",
      "*",
      "http://127.0.0.1:9090/healthz"
    ])
    assert.notInclude(instructions(running()), "healthz")
  })

  it("offer no command where no demo runs", () => {
    const routes = LISTENER.routes.map((route) => ({ ...route, backend: "192.0.2.1:443" }))
    const text = instructions(
      running({ config: { listeners: [{ ...LISTENER, routes }], grpc: undefined, metrics: undefined } })
    )
    assert.deepStrictEqual(curlLines(text), [])
    assert.include(text, `${HELLO.hostname} -> 192.0.2.1:443\n`)
    assert.include(text, "nothing to try")
  })

  it("tell a first run from a second, and when certificates were replaced, why", () => {
    const prepared = preparedIn("/srv/dev")
    assert.match(instructions(running()), /^Created \/srv\/dev /)
    assert.match(instructions(running({ prepared: { ...prepared, created: false } })), /^Using \/srv\/dev\.\n/)
    assert.notInclude(instructions(running()), "new certificates")
    const certificates = { ...prepared.certificates, replacedFor: ["a.pem expired", "b.key is missing"] }
    const replaced = instructions(running({ prepared: { ...prepared, certificates } }))
    assert.include(replaced, "new certificates, for a.pem expired, and b.key is missing.")
    assert.include(replaced, "/srv/dev/certs/ca.pem has to trust the new one")
  })
})
