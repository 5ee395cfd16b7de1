/** What the bench prints: the machine, a table a workload, and whether the limits are met. */
import { arch, availableParallelism, cpus, loadavg, platform, release } from "node:os"
import type { Sample, Samples } from "./Rounds.ts"
import { median, quantile } from "./Statistics.ts"
import { bare, proxy } from "./Subject.ts"
import type { Workload } from "./Workload.ts"

export const describeMachine = (): string => {
  const model = cpus()[0]?.model.trim() ?? "unknown CPU"
  const load = (loadavg()[0] ?? 0).toFixed(1)
  return `${model}, ${availableParallelism()} cores, ${platform()} ${release()} ${arch()}, Node ${process.version}, load ${load}`
}

/** A ratio to the bare relay, over the rounds. */
interface Ratio {
  readonly median: number
  readonly lower: number
  readonly upper: number
}

/** Each round's own ratio counts, since the machine is not the same in the next. */
const ratioToBare = (samples: Samples, subject: string): Ratio => {
  const bareSamples = samples.get(bare.name) ?? []
  const ratios = (samples.get(subject) ?? []).map(
    ({ cpuSecondsPerUnit }, round) => cpuSecondsPerUnit / bareSamples[round]!.cpuSecondsPerUnit
  )
  return { median: median(ratios), lower: quantile(ratios, 0.25), upper: quantile(ratios, 0.75) }
}

export const formatSamples = (workload: Workload, samples: Samples): string => {
  const { description, name, operations, unit } = workload
  const header = [
    "subject",
    `${unit.cpu.name} CPU/${unit.name}`,
    "x bare",
    "quartiles",
    `${unit.name}/s`,
    "p50 ms",
    "p99 ms"
  ]
  const rows = [...samples].map(([subject, ofSubject]) => {
    const of = (value: (sample: Sample) => number) => median(ofSubject.map(value))
    const { lower, median: middle, upper } = ratioToBare(samples, subject)
    return [
      subject,
      formatNumber(of(({ cpuSecondsPerUnit }) => cpuSecondsPerUnit) / unit.cpu.seconds),
      middle.toFixed(2),
      subject === bare.name ? "" : `${lower.toFixed(2)}..${upper.toFixed(2)}`,
      formatNumber(of(({ unitsPerSecond }) => unitsPerSecond)),
      formatNumber(of(({ p50Ms }) => p50Ms)),
      formatNumber(of(({ p99Ms }) => p99Ms))
    ]
  })
  return `${name}: ${description}; ${operations} a round\n${formatTable([header, ...rows])}`
}

/** Three significant digits, which is more than the noise leaves. */
const formatNumber = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3))

/** The first column to the left, the others to the right. */
export const formatTable = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
  return rows.map((row) => `  ${row.map(pad).join("  ")}`.trimEnd()).join("\n")
}

export interface Verdict {
  readonly met: boolean
  readonly text: string
}

/** How the proxy stands against the workload's limit; nothing where it has none, or the proxy was not measured. */
export const judge = ({ limit, unit }: Workload, samples: Samples): Verdict | undefined => {
  if (limit === undefined || !samples.has(proxy.name)) return undefined
  const ratio = ratioToBare(samples, proxy.name).median
  const aim =
    limit.ratioAim === undefined ? "" : `, aim ${limit.ratioAim}: ${ratio <= limit.ratioAim ? "met" : "not met"}`
  const met = ratio <= limit.ratioMax
  const verdict = `${met ? "met" : "NOT MET"}${aim}`
  return { met, text: `  limit: ${proxy.name}'s CPU/${unit.name} at most ${limit.ratioMax} x bare: ${verdict}` }
}
