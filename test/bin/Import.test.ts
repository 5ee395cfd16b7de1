import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { InvalidArgument } from "../../src/admin/AdminError.ts"
import { Route } from "../../src/admin/AdminSchema.ts"
import * as DatabaseFile from "../../src/store/DatabaseFile.ts"
import { startAdmin } from "../admin/StubAdmin.ts"
import { ROOT } from "../e2e/harness/Binary.ts"
import { temporaryFolder } from "../e2e/harness/Folder.ts"
import { runProgram } from "../e2e/harness/Program.ts"
import * as NodeServices from "@effect/platform-node/NodeServices"

const ENTRY = join(ROOT, "bin", "mc-proxy.js")

/** A config beside its database; `more` is its other sections. */
const configIn = (folder: string, more: string): string => {
  const file = join(folder, "mc-proxy.toml")
  writeFileSync(
    file,
    `[database]\npath = "mc-proxy.db"\n[[listeners]]\naddr = ":443"\nmax_connections = 9\n` +
      `[[listeners.routes]]\nhostname = "a.test"\nbackend = "127.0.0.1:1"\n${more}`
  )
  return file
}

const run = (file: string, ...flags: ReadonlyArray<string>) =>
  runProgram(process.execPath, [ENTRY, "import", "-c", file, ...flags])

/** The database is another process's for as long as the test lasts. */
const claim = (folder: string) => Effect.provide(DatabaseFile.claim(join(folder, "mc-proxy.db")), NodeServices.layer)

const done = (stdout: string) => ({ code: 0, signal: null, stdout, stderr: "" })

const LINES = "add listener :443: max_connections 9\nadd route a.test on :443: backend 127.0.0.1:1, mode l4\n"
const RULES = '[firewall]\nblocked_ips = ["192.0.2.1"]\n'

describe("mc-proxy import", () => {
  it.live("does it by itself when no proxy runs, and prints each difference", () =>
    Effect.gen(function* () {
      const file = configIn(yield* temporaryFolder, "")
      assert.deepStrictEqual(yield* run(file, "--dry-run"), done(LINES))
      assert.deepStrictEqual(yield* run(file), done(LINES))
      assert.match((yield* run(file)).stdout, /mc-proxy\.db is equal to \S+ already\n$/)
    })
  )

  it.live("asks the proxy that has the database, with the whole state of the file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { asked, socket } = yield* startAdmin({
        importState: () => Effect.succeed({ differences: LINES.trimEnd().split("\n") })
      })
      yield* claim(folder)
      const file = configIn(folder, `${RULES}[grpc]\naddr = "${socket}"\n`)
      assert.deepStrictEqual(yield* run(file), done(LINES))
      const listener = { addr: ":443", proxyProtocol: false, trustedProxies: [], maxConnections: 9 }
      const state = {
        listeners: [{ listener, routes: [Route.make({ hostname: "a.test", backend: "127.0.0.1:1" })] }],
        firewallRules: [{ type: "ip", value: "192.0.2.1" }]
      }
      assert.deepStrictEqual(asked, [{ operation: "importState", request: { ...state, dryRun: false } }])
    })
  )

  it.live("shows the differences from its own database, whatever another proxy at the socket would say", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startAdmin({
        importState: () => Effect.succeed({ differences: ["remove listener :29600"] })
      })
      const file = configIn(yield* temporaryFolder, `[grpc]\naddr = "${socket}"\n`)
      assert.deepStrictEqual(yield* run(file, "--dry-run"), done(LINES))
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("tells what the proxy refuses in its words", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { socket } = yield* startAdmin({ importState: () => new InvalidArgument({ message: "listeners[0]: no" }) })
      yield* claim(folder)
      const told = yield* run(configIn(folder, `[grpc]\naddr = "${socket}"\n`))
      assert.deepStrictEqual(told, { code: 1, signal: null, stdout: "", stderr: "mc-proxy: listeners[0]: no\n" })
    })
  )

  it.live("imports nothing when the database is another's who cannot be asked, and says what to do", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* claim(folder)
      const mute = yield* run(configIn(folder, ""))
      assert.match(
        mute.stderr,
        /^mc-proxy: \S+\.db: the proxy is running on it, and nothing was imported; give it a \[grpc\][^\n]*\n$/
      )
      const lost = yield* run(configIn(folder, '[grpc]\naddr = "none.sock"\n'))
      assert.match(
        lost.stderr,
        /^mc-proxy: \S+\.db: another process has it, [^\n]* \S+none\.sock: no such socket;[^\n]*\n$/
      )
      assert.deepStrictEqual([mute.code, lost.code], [1, 1])
    })
  )

  it.live("fails when what it has done cannot be told whole", () =>
    Effect.gen(function* () {
      const file = configIn(yield* temporaryFolder, "")
      const args = ["-c", '"$@" > /dev/full', "bash", process.execPath, ENTRY, "import", "-c", file]
      const { code, stderr } = yield* runProgram("bash", args)
      assert.strictEqual(code, 1)
      assert.match(stderr, /^mc-proxy: stdout: cannot be written \(ENOSPC[^\n]*; what was asked for is done\n$/)
    })
  )

  it.live("has printed everything when it ends, however much there is", () =>
    Effect.gen(function* () {
      const ips = Array.from({ length: 20_000 }, (_, i) => `"10.0.${i >> 8}.${i & 255}"`)
      const file = configIn(yield* temporaryFolder, `[firewall]\nblocked_ips = [${ips.join(",")}]\n`)
      const { stdout } = yield* run(file, "--dry-run")
      assert.strictEqual(stdout.split("\n").length, ips.length + 3)
    })
  )
})
