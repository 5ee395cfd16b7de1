/**
 * Runs a workload against every subject in turn, round after round.
 *
 * The subjects of a round run within a few seconds of each other, each time in another order, so that what the machine
 * does meanwhile meets all of them; a ratio is always one within a round. The first round is thrown away: code is
 * compiled in it, and the file and route of everything is touched once.
 */
import { Effect } from "effect"
import type { BenchError } from "./BenchError.ts"
import { receive, type Child } from "./Child.ts"
import { cpuSecondsBetween, readCpu } from "./ProcessCpu.ts"
import { Answer } from "./Protocol.ts"
import type { Running } from "./Subject.ts"
import type { Workload } from "./Workload.ts"

/** One subject's part of one round. */
export interface Sample {
  readonly cpuSecondsPerUnit: number
  readonly unitsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** By subject, in the order of the rounds. */
export type Samples = ReadonlyMap<string, ReadonlyArray<Sample>>

export const runRounds = Effect.fnUntraced(function* (
  workload: Workload,
  subjects: ReadonlyMap<string, Running>,
  client: Child,
  rounds: number
): Effect.fn.Return<Samples, BenchError> {
  const names = [...subjects.keys()]
  const samples = new Map(names.map((name) => [name, Array<Sample>()]))
  for (let round = 0; round <= rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + turn) % names.length]!
      const subject = subjects.get(name)!
      const sample = yield* Effect.raceFirst(measure(workload, subject, client), subject.process.ended)
      if (round > 0) samples.get(name)!.push(sample)
    }
  }
  return samples
})

/**
 * How long to wait behind a round before its CPU is read. What a subject does behind the end of its connections, such as
 * closing its sockets and writing its log, is its own work and not the next one's.
 */
const SETTLE = "100 millis"

const measure = Effect.fnUntraced(function* (
  { name, operations, unit }: Workload,
  { port, process }: Running,
  client: Child
): Effect.fn.Return<Sample, BenchError> {
  const before = yield* readCpu(process.pid)
  const request = { workload: name, operations, port }
  const { p50Ms, p99Ms, wallMs } = yield* receive(client, Answer, request)
  yield* Effect.sleep(SETTLE)
  const after = yield* readCpu(process.pid)
  const units = operations * unit.perOperation
  return {
    cpuSecondsPerUnit: cpuSecondsBetween(before, after) / units,
    unitsPerSecond: units / (wallMs / 1000),
    p50Ms,
    p99Ms
  }
})
