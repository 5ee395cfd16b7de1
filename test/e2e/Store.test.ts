import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { chmodSync, copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { type Backend, startBackend } from "./harness/Backend.ts"
import { builtBinary, ROOT } from "./harness/Binary.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { hello } from "./harness/Hello.ts"
import { runProgram } from "./harness/Program.ts"
import { type Proxy, type ProxyConfig, startProxy, startProxyIn, writeConfig } from "./harness/Proxy.ts"
import { assertRefused } from "./harness/Refusal.ts"
import { connect } from "./harness/Wire.ts"

const GEOIP = join(ROOT, "test", "fixtures", "geoip", "GeoLite2-Country-Test.mmdb")

const routeTo = (backend: Backend, hostname = "a.test") => ({ hostname, backend: backend.address })

const run = (...args: ReadonlyArray<string>) => runProgram(process.execPath, [builtBinary(), ...args])

/** A client for a.test reaches `backend`. */
const assertReaches = Effect.fnUntraced(function* (proxy: Proxy, backend: Backend) {
  const client = yield* connect(proxy.address)
  yield* client.send(hello("a.test"))
  const inner = yield* backend.next
  client.finish()
  inner.finish()
  assert.strictEqual(yield* inner.ended, "fin")
  assert.strictEqual((yield* proxy.accessOf(client)).backend, backend.address)
})

const warningsOf = ({ logLines }: Proxy) =>
  logLines.filter(({ level }) => level === "warn").map(({ message }) => message)

describe("the database", () => {
  it.live("is filled by the first run, holds from then on, and follows the file by import", () =>
    Effect.gen(function* () {
      const [old, fresh] = [yield* startBackend(), yield* startBackend()]
      const before = { listeners: [{ routes: [routeTo(old), routeTo(old, "b.test")] }] }
      const after = { listeners: [{ routes: [routeTo(fresh)] }], firewall: { blocked_ips: ["192.0.2.1"] } }
      const first = yield* startProxy(before)
      yield* assertReaches(first, old)
      assert.deepStrictEqual(warningsOf(first), [])
      yield* first.stop()

      const second = yield* startProxyIn(first.folder, after)
      yield* assertReaches(second, old)
      const file = join(first.folder, "mc-proxy.toml")
      const differences = [
        `change route a.test on 127.0.0.1:0: backend ${old.address} → ${fresh.address}`,
        "remove route b.test on 127.0.0.1:0",
        "add firewall rule ip 192.0.2.1"
      ]
      assert.deepStrictEqual(
        warningsOf(second),
        differences.map(
          (line) => `${file} differs from the database, which holds; mc-proxy import -c ${file} would ${line}`
        )
      )
      yield* second.stop()

      const stdout = differences.map((line) => `${line}\n`).join("")
      const told = { code: 0, signal: null, stdout, stderr: "" }
      assert.deepStrictEqual(yield* run("import", "-c", file, "--dry-run"), told)
      assert.deepStrictEqual(yield* run("import", "-c", file), told)
      const equal = `${join(first.folder, "mc-proxy.db")} is equal to ${file} already\n`
      assert.deepStrictEqual(yield* run("import", "-c", file), { ...told, stdout: equal })
      const third = yield* startProxyIn(first.folder, after)
      yield* assertReaches(third, fresh)
      assert.deepStrictEqual(warningsOf(third), [])
    })
  )

  it.live("is not filled from a file that cannot be served, so that a better one can", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const backend = yield* startBackend()
      const route = { ...routeTo(backend), mode: "l7", tls_cert: "a.pem", tls_key: "a.key" }
      const { code, stderr } = yield* run("server", "-c", writeConfig(folder, { listeners: [{ routes: [route] }] }))
      assert.strictEqual(code, 1)
      assert.include(stderr, "listeners[0].routes[0].tls_cert")
      const proxy = yield* startProxyIn(folder, { listeners: [{ routes: [routeTo(backend)] }] })
      yield* assertReaches(proxy, backend)
    })
  )

  it.live("keeps an L7 route whose certificate has gone: its clients are reset, and the operator is told", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [tls_cert, tls_key] = ["server.pem", "server.key"].map((file) => {
        copyFileSync(join(ROOT, "test/config/certificates", file), join(folder, file))
        return join(folder, file)
      }) as [string, string]
      const route = { hostname: "a.test", backend: "127.0.0.1:1", mode: "l7", tls_cert, tls_key }
      const config = { listeners: [{ routes: [route] }] }
      const first = yield* startProxyIn(folder, config)
      yield* first.stop()
      rmSync(tls_cert)
      const proxy = yield* startProxyIn(folder, config)
      const client = yield* connect(proxy.address)
      yield* client.send(hello("a.test"))
      const told = { hostname: "a.test", backend: "127.0.0.1:1", mode: "l7", outcome: "certificate_unavailable" }
      yield* assertRefused(proxy, client, told)
      assert.include(yield* proxy.logged("no certificate to serve"), { level: "error", path: tls_cert })
    })
  )

  it.live("keeps its country rules from being passed over when the GeoIP database is gone from the config", () =>
    Effect.gen(function* () {
      const listeners = [{ routes: [routeTo(yield* startBackend())] }]
      const first = yield* startProxy({ listeners, firewall: { geoip_db: GEOIP, blocked_countries: ["SE", "FR"] } })
      yield* first.stop()
      const file = writeConfig(first.folder, { listeners })
      for (const command of ["server", "check"]) {
        const { code, stderr } = yield* run(command, "-c", file)
        assert.strictEqual(code, 1)
        assert.match(stderr, /mc-proxy\.db: country rules \(SE, FR\): need a database .* set firewall\.geoip_db/)
      }
    })
  )
})

describe("a database in use", () => {
  it.live("refuses a second proxy and an import, and disturbs neither the first nor itself", () =>
    Effect.gen(function* () {
      const [backend, other] = [yield* startBackend(), yield* startBackend()]
      const proxy = yield* startProxy({ listeners: [{ routes: [routeTo(backend)] }] })
      const file = writeConfig(proxy.folder, { listeners: [{ routes: [routeTo(other)] }] })
      const second = yield* run("server", "-c", file)
      assert.strictEqual(second.code, 1)
      assert.match(
        second.stderr,
        /^mc-proxy: \S+\/mc-proxy\.db: another mc-proxy is running on this database; [^\n]*\n$/
      )
      const imported = yield* run("import", "-c", file)
      assert.strictEqual(imported.code, 1)
      assert.match(imported.stderr, /^mc-proxy: \S+: the proxy is running on it, and nothing was imported; [^\n]*\n$/)
      yield* assertReaches(proxy, backend)

      proxy.signal("SIGKILL")
      yield* proxy.ended
      const again = yield* startProxyIn(proxy.folder, { listeners: [{ routes: [routeTo(other)] }] })
      yield* assertReaches(again, backend)
    })
  )

  it.live("is copied while the proxy runs and when it does not, for its owner alone, and over nothing", () =>
    Effect.gen(function* () {
      const backend = yield* startBackend()
      const config: ProxyConfig = { listeners: [{ routes: [routeTo(backend)] }] }
      const proxy = yield* startProxy(config)
      const file = join(proxy.folder, "mc-proxy.toml")
      const copy = yield* run("snapshot", "-c", file)
      assert.deepStrictEqual({ code: copy.code, stderr: copy.stderr }, { code: 0, stderr: "" })
      const path = copy.stdout.trim()
      assert.match(path.slice(proxy.folder.length), /^\/backups\/mc-proxy-\d{8}T\d{6}Z\.db$/)
      assert.strictEqual(statSync(path).mode & 0o777, 0o600)
      yield* proxy.stop()

      const target = join(proxy.folder, "here.db")
      assert.strictEqual((yield* run("snapshot", "-c", file, "-o", target)).stdout, `${target}\n`)
      const bytes = readFileSync(target)
      const refused = yield* run("snapshot", "-c", file, "-o", target)
      assert.deepStrictEqual(refused, {
        code: 1,
        signal: null,
        stdout: "",
        stderr: `mc-proxy: ${target}: exists already, and nothing is overwritten; give another path with -o\n`
      })
      assert.isTrue(bytes.equals(readFileSync(target)))

      const folder = yield* temporaryFolder
      copyFileSync(path, join(folder, "mc-proxy.db"))
      const restored = yield* startProxyIn(folder, config)
      yield* assertReaches(restored, backend)
      assert.deepStrictEqual(warningsOf(restored), [])
    })
  )
})

describe("a database that cannot be used", () => {
  it.live("is refused in one line that names it and what to do, and stays as it is", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const database = join(folder, "mc-proxy.db")
      const file = writeConfig(folder, { listeners: [{}] })
      writeFileSync(database, "not a database")
      for (const command of ["server", "import", "check", "snapshot"]) {
        const { code, stderr, stdout } = yield* run(command, "-c", file)
        assert.deepStrictEqual({ code, stdout }, { code: 1, stdout: "" })
        assert.strictEqual(
          stderr,
          `mc-proxy: ${database}: is no SQLite database, or a corrupt one, and was left as it is; ` +
            "restore a snapshot in its place, or move it away to start anew from the config file\n"
        )
      }
      assert.strictEqual(readFileSync(database, "utf8"), "not a database")
    })
  )

  it.live("is refused when it is read-only", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = writeConfig(folder, { listeners: [{}] })
      assert.strictEqual((yield* run("import", "-c", file)).code, 0)
      chmodSync(join(folder, "mc-proxy.db"), 0o444)
      chmodSync(folder, 0o755)
      // Nothing is read-only for root.
      const nobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
      const { status, stderr } = spawnSync(process.execPath, [builtBinary(), "server", "-c", file], {
        ...nobody,
        encoding: "utf8"
      })
      assert.strictEqual(status, 1)
      assert.match(
        stderr,
        /^mc-proxy: \S+mc-proxy\.db: (?:is read-only|permission denied); let the user that runs mc-proxy /
      )
    })
  )

  it.live("keeps what it has when an import does not fit on the disk", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const firewall = { blocked_ips: ["192.0.2.1"] }
      const small = writeConfig(folder, { listeners: [{}], firewall })
      assert.strictEqual((yield* run("import", "-c", small)).code, 0)
      const many = Array.from({ length: 20_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`)
      const file = writeConfig(folder, { listeners: [{}], firewall: { blocked_ips: many } })
      const limited = 'ulimit -f "$1" && shift && exec "$@"'
      const args = ["-c", limited, "sh", String(FILE_BLOCKS_MAX), process.execPath, builtBinary(), "import", "-c", file]
      const { code, stderr, stdout } = yield* runProgram("/bin/sh", args)
      assert.deepStrictEqual({ code, stdout }, { code: 1, stdout: "" })
      assert.match(stderr, /^mc-proxy: \S+mc-proxy\.db: cannot [^\n]+\n$/)
      writeConfig(folder, { listeners: [{}], firewall })
      const equal = yield* run("import", "-c", small)
      assert.match(equal.stdout, new RegExp(`${basename(folder)}/mc-proxy.db is equal to`))
    })
  )
})

const NOBODY = 65534

/** Of 512 bytes; a new database and its log have about 200. */
const FILE_BLOCKS_MAX = 512
