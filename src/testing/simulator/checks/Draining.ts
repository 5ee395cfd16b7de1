/** A proxy that is told to stop has stopped when its time is over. */
import type { Check } from "../SimRun.ts"

export const checkDraining: Check = ({ events, plan }) => {
  const { disk } = plan.faults
  // It waits for the commit that is under way, however slow the disk is.
  const slowest = Math.max(0, ...[...disk.values()].map((fault) => (fault._tag === "Slow" ? fault.ms : 0)))
  const allowedMs = plan.shutdownTimeoutMs + slowest * STATEMENTS_A_COMMIT_MAX
  let toldAt: number | undefined
  for (const event of events) {
    if (event._tag !== "Process") continue
    if (event.what === "told_to_stop") toldAt = event.at
    if (event.what === "lost") toldAt = undefined
    if (event.what !== "stopped") continue
    if (toldAt === undefined) return ["the edge has stopped without being told to"]
    const tookMs = event.at - toldAt
    return tookMs <= allowedMs ? [] : [`the edge took ${tookMs} ms to stop, and has ${allowedMs} ms`]
  }
  return ["the edge has never stopped"]
}

/** An import that replaces everything makes fewer. */
const STATEMENTS_A_COMMIT_MAX = 256
