/**
 * When nobody ran: the delays of a program of real-time priority, before which no other goes.
 *
 * A virtual machine's host may take all of its processors away for some milliseconds, and does so when all are busy, as
 * they are during an import: whoever waited then did not wait for the proxy.
 */
import { Effect, type Scope } from "effect"
import { spawn, spawnSync } from "node:child_process"
import type { BenchError } from "./BenchError.ts"
import { own } from "./Child.ts"
import { noteDelaysIn } from "./LoopDelay.ts"

/** Notes them in `file`, to be read by `longestDelays`; false where such a priority is not to be had. */
export const notePausesIn = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<boolean, BenchError, Scope.Scope> {
  if (spawnSync("chrt", [...REAL_TIME, "true"]).status !== 0) return false
  const program = [process.execPath, ...noteDelaysIn(file), "--eval", "setInterval(() => {}, 1000)"]
  yield* own("pauses", () => spawn("chrt", [...REAL_TIME, ...program], { stdio: "ignore" }))
  return true
})

/** The lowest of them; all go before the usual ones. */
const REAL_TIME = ["--fifo", "1"]
