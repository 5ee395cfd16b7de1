import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { startAdmin } from "../admin/StubAdmin.ts"
import { ROOT } from "../e2e/harness/Binary.ts"
import { temporaryFolder } from "../e2e/harness/Folder.ts"
import { runProgram } from "../e2e/harness/Program.ts"

const ENTRY = join(ROOT, "bin", "mc-proxy.js")

const status = Effect.fnUntraced(function* (grpc: string) {
  const file = join(yield* temporaryFolder, "mc-proxy.toml")
  writeFileSync(file, `[database]\npath = "mc-proxy.db"\n[[listeners]]\naddr = ":0"\n${grpc}`)
  const told = yield* runProgram(process.execPath, [ENTRY, "status", "-c", file])
  return { ...told, file }
})

describe("mc-proxy status", () => {
  it.live("tells version, uptime, connections and listeners of the proxy at the config's socket", () =>
    Effect.gen(function* () {
      const listener = { addr: ":443", routeCount: 2, activeConnections: 1, proxyProtocol: false, maxConnections: 0 }
      const { socket } = yield* startAdmin({
        getStatus: () =>
          Effect.succeed({
            version: "1.2.3",
            startedAt: DateTime.makeUnsafe(0),
            uptime: 5000,
            totalConnections: 10,
            activeConnections: 1,
            listeners: [{ ...listener, trustedProxies: [], problems: ["a \u001b[2J"] }],
            draining: false,
            revision: 1
          })
      })
      const { code, stderr, stdout } = yield* status(`[grpc]\naddr = "${socket}"\n`)
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
      assert.strictEqual(
        stdout,
        "mc-proxy 1.2.3\nuptime: 5s\nconnections: 1 active, 10 since the start\n" +
          ":443 routes: 2, active: 1, problems: a \\u001b[2J\n"
      )
    })
  )

  it.live("exits 1 in one line when nothing answers there, or there is no socket to ask at", () =>
    Effect.gen(function* () {
      const gone = yield* status(`[grpc]\naddr = "none.sock"\n`)
      assert.deepStrictEqual({ code: gone.code, stdout: gone.stdout }, { code: 1, stdout: "" })
      assert.match(gone.stderr, /^mc-proxy: \S+\/none\.sock: no such socket; is the proxy running[^\n]*\n$/)
      const none = yield* status("")
      assert.deepStrictEqual({ code: none.code, stdout: none.stdout }, { code: 1, stdout: "" })
      assert.match(none.stderr, /^mc-proxy: \S+: has no \[grpc\], [^\n]*; add it, and start the proxy again\n$/)
    })
  )
})
