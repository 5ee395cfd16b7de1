/** What goes wrong, and when: on the disk at a step of a commit, everything else by the time. */
import type { Statement, StoreFault } from "../../store/SimStore.ts"
import type { Draw } from "../Draw.ts"

/** Every kind that a simulation can meet; the coverage table has a line for each. */
export const FAULT_KINDS = [
  "disk_slow",
  "disk_failed",
  "disk_unknown_done",
  "disk_unknown_lost",
  "disk_crash_done",
  "disk_crash_lost",
  "crash",
  "client_reset",
  "backend_reset",
  "backend_refused",
  "backend_unreachable",
  "backend_silent",
  "web_reset",
  "web_stalling",
  "web_failing",
  "names_silent",
  "descriptors_gone"
] as const
export type FaultKind = (typeof FAULT_KINDS)[number]

/** Lasts for `forMs`, but for resets and crashes. `target` chooses among those that there are. */
export interface TimedFault {
  readonly kind: Exclude<FaultKind, `disk_${string}`>
  readonly atMs: number
  readonly forMs: number
  readonly target: number
}

export interface FaultPlan {
  readonly timed: ReadonlyArray<TimedFault>
  /** By the place of the statement; see `StatementPlaces`. */
  readonly disk: ReadonlyMap<string, StoreFault>
}

export const drawFaults = (draw: Draw, spanMs: number): FaultPlan => {
  const timed = draw.times(draw.integer(9, 16), (): TimedFault => ({
    kind: draw.weighted(TIMED_WEIGHTS),
    atMs: draw.integer(1, spanMs),
    forMs: draw.integer(20, 400),
    target: draw.integer(0, 1000)
  }))
  const disk = new Map<string, StoreFault>()
  draw.times(draw.integer(8, 16), () => disk.set(drawPlace(draw), drawDiskFault(draw)))
  return { timed, disk }
}

const drawPlace = (draw: Draw): string => {
  const step = draw.weighted({ load: 1, begin: 4, edit: 4, commit: 8 })
  // The first load is the first start's, which is to succeed.
  return step === "load" ? `load ${draw.integer(2, 4)}` : `${step} ${draw.integer(1, COMMITS)}`
}

/** About as many as a simulation makes. */
const COMMITS = 25

/**
 * Where a disk is in its work, so that a large commit meets as much as a small one: the load, or the first edit, of that
 * number.
 */
export class StatementPlaces {
  #loads = 0
  #commits = 0
  #isEdited = false

  /** `undefined`: nothing happens there. To be asked for every statement. */
  placeOf({ step }: Statement): string | undefined {
    if (step === "load") return `load ${++this.#loads}`
    if (step === "begin") {
      this.#isEdited = false
      return `begin ${++this.#commits}`
    }
    if (step === "commit") return `commit ${this.#commits}`
    if (this.#isEdited) return undefined
    this.#isEdited = true
    return `edit ${this.#commits}`
  }
}

const TIMED_WEIGHTS: Readonly<Record<TimedFault["kind"], number>> = {
  crash: 3,
  client_reset: 10,
  backend_reset: 10,
  backend_refused: 6,
  backend_unreachable: 5,
  backend_silent: 6,
  web_reset: 4,
  web_stalling: 3,
  web_failing: 3,
  names_silent: 5,
  descriptors_gone: 6
}

const drawDiskFault = (draw: Draw): StoreFault => {
  switch (draw.weighted({ slow: 8, failed: 6, unknown: 6, crash: 1 })) {
    case "slow":
      return { _tag: "Slow", ms: draw.integer(1, 60) }
    case "failed":
      return { _tag: "Failed" }
    case "unknown":
      return { _tag: "Unknown", done: draw.chance(50) }
    case "crash":
      return { _tag: "Crash", done: draw.chance(50) }
  }
}

/** The line of the coverage table that a disk's fault belongs to. */
export const diskFaultKind = (fault: StoreFault): FaultKind => {
  switch (fault._tag) {
    case "Slow":
      return "disk_slow"
    case "Failed":
      return "disk_failed"
    case "Unknown":
      return fault.done ? "disk_unknown_done" : "disk_unknown_lost"
    case "Crash":
      return fault.done ? "disk_crash_done" : "disk_crash_lost"
  }
}
