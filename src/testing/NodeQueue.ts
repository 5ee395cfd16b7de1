/**
 * Lets Node's own queue become empty: ticks, promises and immediates, on which its streams and its HTTP call back.
 *
 * None of that depends on the time, so that what happens is the same on any machine. What waits for the world outside (a
 * real socket, a file, a timer) is not waited for.
 */

/** How many are waiting here, each with an immediate of its own. */
let waiting = 0

/** Whoever else in the process keeps the queue busy is not waited for longer than so many turns. */
const TURNS_MAX = 10_000

/** Completes when nothing is left to be called back. */
export const settleNode = async (): Promise<void> => {
  for (let turns = 0; turns < TURNS_MAX; turns++) {
    waiting++
    await new Promise(setImmediate)
    waiting--
    if (pendingImmediates() <= waiting) return
  }
}

/** Node counts its library's own, too. */
const pendingImmediates = (): number => {
  let count = 0
  for (const resource of process.getActiveResourcesInfo()) if (resource === "Immediate") count++
  return count
}
