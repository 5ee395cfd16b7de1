/**
 * Prometheus' text format, version 0.0.4: metrics in, lines out, a slice at a time.
 *
 * A slice takes well under a millisecond to make, so that whoever serves the page can let connections in between. All
 * lines of one histogram are made at once, and so belong together. It escapes what labels hold; names and help texts
 * are the program's own, and taken as they are.
 */
import type { DurationHistogram } from "../observe/Histogram.ts"

/** A metric and where its series come from, which are read as they are rendered. */
export interface Metric {
  readonly name: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly help: string
  /** The lines of each series. */
  readonly series: Iterable<string>
}

export type Labels = Readonly<Record<string, string>>

/** One series of a counter or a gauge. */
export type Sample = readonly [labels: Labels, value: number]

/** What only grows; its name ends in `_total`. */
export const counter = (name: string, help: string, samples: Iterable<Sample>): Metric => ({
  name,
  type: "counter",
  help,
  series: linesOf(name, samples)
})

/** What goes up and down. */
export const gauge = (name: string, help: string, samples: Iterable<Sample>): Metric => ({
  name,
  type: "gauge",
  help,
  series: linesOf(name, samples)
})

/** How long things took, in seconds. */
export const histogram = (
  name: string,
  help: string,
  series: Iterable<readonly [labels: Labels, durations: DurationHistogram]>
): Metric => ({ name, type: "histogram", help, series: histogramLinesOf(name, series) })

/** The page, in slices. */
export function* render(metrics: Iterable<Metric>): Generator<string, void, undefined> {
  let slice = ""
  for (const { help, name, series, type } of metrics) {
    slice += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
    for (const lines of series) {
      slice += lines
      if (slice.length < SLICE_CHARS_MIN) continue
      yield slice
      slice = ""
    }
  }
  if (slice !== "") yield slice
}

/** What `render` answers is of this type. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

/** Some hundred lines, made in a fraction of a millisecond; few enough slices that waiting between them costs little. */
const SLICE_CHARS_MIN = 32 * 1024

function* linesOf(name: string, samples: Iterable<Sample>): Generator<string> {
  for (const [labels, value] of samples) {
    const pairs = pairsOf(labels)
    yield pairs === "" ? `${name} ${value}\n` : `${name}{${pairs}} ${value}\n`
  }
}

function* histogramLinesOf(name: string, series: Iterable<readonly [Labels, DurationHistogram]>): Generator<string> {
  for (const [labels, { boundsMs, counts, sumMs }] of series) {
    const pairs = pairsOf(labels)
    const start = `${name}_bucket{${pairs}${pairs === "" ? "" : ","}le="`
    let cumulative = 0
    let lines = ""
    for (let i = 0; i < boundsMs.length; i++) {
      cumulative += counts[i]!
      lines += `${start}${boundsMs[i]! / 1000}"} ${cumulative}\n`
    }
    const count = cumulative + counts[boundsMs.length]!
    const suffix = pairs === "" ? "" : `{${pairs}}`
    yield `${lines}${start}+Inf"} ${count}\n${name}_sum${suffix} ${sumMs / 1000}\n${name}_count${suffix} ${count}\n`
  }
}

const pairsOf = (labels: Labels): string => {
  let pairs = ""
  for (const key in labels) pairs += `${pairs === "" ? "" : ","}${key}="${escapeLabel(labels[key]!)}"`
  return pairs
}

const escapeLabel = (value: string): string =>
  SPECIAL.test(value) ? value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"') : value

const SPECIAL = /["\\\n]/
