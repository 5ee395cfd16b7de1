import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const SCRIPT = fileURLToPath(new URL("AbandonedSessions.ts", import.meta.url))

/** How a process of its own ends that has such sessions. */
const end = (...args: ReadonlyArray<string>) =>
  Effect.callback<number | NodeJS.Signals | null>((resume) => {
    const child = spawn(process.execPath, ["--expose-gc", SCRIPT, ...args], { stdio: "ignore" })
    child.on("close", (code, signal) => resume(Effect.succeed(signal ?? code)))
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(Effect.timeout("20 seconds"))

describe("a process whose peers read nothing, send malformed fields and leave", () => {
  it.live("goes on where sessions outlive their streams", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* end("kept"), 0)
    })
  )

  it.live("is aborted by Node where they do not, which is why they do", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* end(), "SIGABRT")
    })
  )
})
