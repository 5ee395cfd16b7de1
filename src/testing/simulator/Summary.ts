/** What a simulation has been through, counted; and of many together, whether that was everything. */
import { createHash } from "node:crypto"
import { OUTCOMES, type Outcome } from "../../pipeline/Outcome.ts"
import { diskFaultKind, FAULT_KINDS } from "./FaultPlan.ts"
import { formatEvent } from "./Journal.ts"
import type { Simulation } from "./Simulate.ts"

/** Plain, so that it can come from another thread. */
export interface Summary {
  readonly seed: number
  readonly violations: ReadonlyArray<string>
  readonly connections: number
  readonly requests: number
  readonly mutations: number
  readonly faults: number
  /** How often each outcome and each kind of fault was met. */
  readonly met: Readonly<Record<string, number>>
  /** Of the whole trace: the same for the same seed. */
  readonly digest: string
}

export const summarize = ({ events, plan, violations }: Simulation): Summary => {
  const met: Record<string, number> = {}
  const count = (what: string) => (met[what] = (met[what] ?? 0) + 1)
  let [connections, requests, mutations, faults] = [0, 0, 0, 0]
  for (const event of events) {
    if (event._tag === "Concluded") {
      connections++
      count(event.entry.outcome)
    } else if (event._tag === "Responded") {
      requests++
      count(event.status === undefined ? UNANSWERED : event.end === "cut" ? CUT : `answered_${event.status}`)
    } else if (event._tag === "Dawdled") {
      count(event.status === undefined ? UNANSWERED : `answered_${event.status}`)
    } else if (event._tag === "Asked") {
      mutations++
    } else if (event._tag === "Fault") {
      faults++
      count(event.kind)
    } else if (event._tag === "Disk" && event.fault !== undefined) {
      faults++
      count(diskFaultKind(event.fault))
    } else if (event._tag === "Answered" && event.answer === "left") {
      faults++
      count(CALLER_LEFT)
    }
  }
  const digest = createHash("sha256").update(events.map(formatEvent).join("\n")).digest("hex")
  return { seed: plan.seed, violations, connections, requests, mutations, faults, met, digest }
}

const CALLER_LEFT = "caller_left"
const UNANSWERED = "request_unanswered"
const CUT = "answer_cut"

/** Every certificate loads, and a defect is one. */
const ELSEWHERE: ReadonlySet<Outcome> = new Set(["certificate_unavailable", "internal"])

const COVERED: ReadonlyArray<string> = [
  ...OUTCOMES.filter((outcome) => !ELSEWHERE.has(outcome)),
  ...[101, 200, 204, 400, 403, 404, 408, 421, 431, 501, 502, 503, 504].map((status) => `answered_${status}`),
  UNANSWERED,
  CUT,
  ...FAULT_KINDS,
  CALLER_LEFT
]

/** How often everything has to be met by as many simulations as make the number meaningful. */
const MET_MIN = 10
const SEEDS_MIN = 1000

/** Medians of what a simulation is to be like. */
const CONNECTIONS_MIN = 50
const REQUESTS_MIN = 10
const MUTATIONS_MIN = 20
const FAULTS_MIN = 10

export interface Coverage {
  readonly table: string
  /** What has not been met often enough; empty below `SEEDS_MIN` simulations. */
  readonly missing: ReadonlyArray<string>
}

export const coverageOf = (summaries: ReadonlyArray<Summary>): Coverage => {
  const counts = COVERED.map((what) => [what, summaries.reduce((sum, { met }) => sum + (met[what] ?? 0), 0)] as const)
  const medians = [
    ["connections", median(summaries.map(({ connections }) => connections)), CONNECTIONS_MIN],
    ["requests", median(summaries.map(({ requests }) => requests)), REQUESTS_MIN],
    ["mutations", median(summaries.map(({ mutations }) => mutations)), MUTATIONS_MIN],
    ["faults", median(summaries.map(({ faults }) => faults)), FAULTS_MIN]
  ] as const
  const table = [
    ...counts.map(([what, count]) => `  ${what.padEnd(22)} ${String(count).padStart(8)}`),
    ...medians.map(([what, count]) => `  ${`${what}, median`.padEnd(22)} ${String(count).padStart(8)}`)
  ].join("\n")
  if (summaries.length < SEEDS_MIN) return { table, missing: [] }
  const missing = [
    ...counts.filter(([, count]) => count < MET_MIN).map(([what, count]) => `${what} was met ${count} times`),
    ...medians.filter(([, count, min]) => count < min).map(([what, count]) => `the median seed has ${count} ${what}`)
  ]
  return { table, missing }
}

const median = (numbers: ReadonlyArray<number>): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
