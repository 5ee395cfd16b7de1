/** A proxy that is told to stop has stopped when its time is over. */
import type { SimEvent } from "../Journal.ts"
import type { Check } from "../SimRun.ts"

export const checkDraining: Check = ({ events, plan }) => {
  let toldAt: number | undefined
  for (const event of events) {
    if (event._tag !== "Process") continue
    if (event.what === "told_to_stop") toldAt = event.at
    if (event.what === "lost") toldAt = undefined
    if (event.what !== "stopped") continue
    if (toldAt === undefined) return ["the edge has stopped without being told to"]
    const tookMs = event.at - toldAt
    const allowedMs = plan.shutdownTimeoutMs + slowMsAfter(events, toldAt)
    return tookMs <= allowedMs ? [] : [`the edge took ${tookMs} ms to stop, and has ${allowedMs} ms`]
  }
  return ["the edge has never stopped"]
}

/** It waits for the commit that is under way, however slow the disk is. */
const slowMsAfter = (events: ReadonlyArray<SimEvent>, time: number): number =>
  events.reduce((sum, event) => {
    const slowMs = event._tag === "Disk" && event.fault?._tag === "Slow" ? event.fault.ms : 0
    return event.at + slowMs >= time ? sum + slowMs : sum
  }, 0)
