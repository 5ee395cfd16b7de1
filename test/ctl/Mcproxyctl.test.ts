import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import type { ConnectionEvent } from "../../src/admin/AdminSchema.ts"
import { startAdmin } from "../admin/StubAdmin.ts"
import { ROOT } from "../e2e/harness/Binary.ts"
import { temporaryFolder } from "../e2e/harness/Folder.ts"
import { type ProgramOptions, runProgram, startProgram } from "../e2e/harness/Program.ts"

const ENTRY = join(ROOT, "bin", "mcproxyctl.js")

const run = (args: ReadonlyArray<string>, options: ProgramOptions = {}) =>
  runProgram(process.execPath, [ENTRY, ...args], options)

const done = (stdout: string) => ({ code: 0, signal: null, stdout, stderr: "" })

describe("mcproxyctl", () => {
  it.live("finds the socket by its flag on either side of the command, and by the environment", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({})
      assert.deepStrictEqual(yield* run(["health"], { env: { MCPROXY_GRPC_ADDR: socket } }), done("SERVING\n"))
      const env = { MCPROXY_GRPC_ADDR: "/nowhere" }
      assert.deepStrictEqual(yield* run(["health", "--socket", socket], { env }), done("SERVING\n"))
      assert.deepStrictEqual(yield* run([`--socket=${socket}`, "health"], { env }), done("SERVING\n"))
      const fallback = yield* run(["health"], { env: { MCPROXY_GRPC_ADDR: "" } })
      assert.include(fallback.stderr, "mcproxyctl: /srv/mc-proxy/mc-proxy.sock: ")
    })
  )

  it.live("exits 1 with one line when the proxy is not there, or is not for this user", () =>
    Effect.gen(function* () {
      const missing = join(yield* temporaryFolder, "none.sock")
      const { code, stderr, stdout } = yield* run(["status", "--socket", missing])
      assert.deepStrictEqual({ code, stdout }, { code: 1, stdout: "" })
      assert.match(stderr, /^mcproxyctl: \S+none\.sock: no such socket; is the proxy running[^\n]*\n$/)
      const odd = yield* run(["status", "--socket", "/nowhere/\x1b[31mred.sock"])
      assert.isTrue(odd.stderr.startsWith("mcproxyctl: /nowhere/\\u001b[31mred.sock: no such socket"))
      const { socket } = yield* startAdmin({})
      // Nothing is forbidden to root.
      const nobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
      const denied = spawnSync(process.execPath, [ENTRY, "health", "--socket", socket], { ...nobody, encoding: "utf8" })
      if (denied.status !== 0) assert.match(denied.stderr, /^mcproxyctl: \S+: permission denied; run this as [^\n]*\n$/)
      assert.strictEqual(denied.status, process.getuid?.() === 0 ? 1 : 0)
    })
  )

  it.live("exits 1 when what it prints cannot be written", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({})
      const args = ["-c", '"$@" > /dev/full', "bash", process.execPath, ENTRY, "health", "--socket", socket]
      const { code, stderr } = yield* runProgram("bash", args)
      assert.strictEqual(code, 1)
      assert.match(stderr, /^mcproxyctl: stdout: cannot be written \(ENOSPC: [^\n]*\n$/)
    })
  )

  it.live("exits 2 when it is used wrongly, and says how to use it", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run(["listeners", "set", ":443"])
      assert.deepStrictEqual({ code, stdout }, { code: 2, stdout: "" })
      assert.strictEqual(stderr, "mcproxyctl: Say what to set\nSee mcproxyctl listeners set --help\n")
      const unset = yield* run(["health", "--socket", ""])
      assert.strictEqual(unset.code, 2)
      assert.include(unset.stderr, "the path of a socket")
    })
  )

  it.live("tells its version, its help, and completions for a shell", () =>
    Effect.gen(function* () {
      assert.match((yield* run(["--version"])).stdout, /^mcproxyctl \d+\.\d+\.\d+\n$/)
      const help = yield* run(["routes", "add", "--help"])
      for (const flag of ["--mode", "--backend-ca", "--replace", "--socket", "--json"])
        assert.include(help.stdout, flag)
      const { code, stderr, stdout } = yield* run(["--completions", "bash"])
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
      assert.include(stdout, "mcproxyctl")
    })
  )
})

const NOBODY = 65534

const EVENT: ConnectionEvent = { event: "dropped", outcome: "", dropped: 1 }

/** A proxy where something always happens. */
const busy = startAdmin({ watchConnections: () => Stream.map(Stream.tick("5 millis"), () => EVENT) })

describe("mcproxyctl connections watch", () => {
  it.live("is done when it is interrupted", () =>
    Effect.gen(function* () {
      const { socket } = yield* busy
      const watch = yield* startProgram(process.execPath, [ENTRY, "connections", "watch", "--json", "--socket", socket])
      yield* watch.watch.until("an event", () => watch.stdout.includes("\n") || undefined)
      watch.signal("SIGINT")
      assert.deepStrictEqual(yield* watch.ended, { code: 0, signal: null })
      assert.strictEqual(watch.stderr, "")
      const last = watch.stdout.trimEnd().split("\n").at(-1)!
      assert.deepInclude(JSON.parse(last), { event: "EVENT_DROPPED", dropped: "1" })
    })
  )

  it.live("is done when nobody reads it any more", () =>
    Effect.gen(function* () {
      const { socket } = yield* busy
      const command = '"$@" | head -n 2; test "${PIPESTATUS[0]}" = 0'
      const args = ["-c", command, "bash", process.execPath, ENTRY, "connections", "watch", "--socket", socket]
      const lost = "1 events lost: this watch was too slow for them\n"
      assert.deepStrictEqual(yield* runProgram("bash", args), done(lost + lost))
    })
  )
})
