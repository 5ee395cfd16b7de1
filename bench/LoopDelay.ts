/**
 * Preloaded into a Node program, notes when its main thread was blocked: one line of JSON each, in the file that the
 * query of the import names (`--import .../LoopDelay.ts?FILE`). Those who read it share the machine's clock.
 */
import { appendFileSync, readFileSync } from "node:fs"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { isMainThread } from "node:worker_threads"

interface Delay {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly ms: number
}

/** What Node has to be started with, to note its delays in `file`. */
export const noteDelaysIn = (file: string): ReadonlyArray<string> => [
  "--import",
  `${import.meta.url}?${encodeURIComponent(file)}`
]

/** The longest that the main thread was blocked since then, in milliseconds; 0: never for long. */
export const longestDelay = (file: string, since: number): number =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Delay)
    .reduce((longest, { at, ms }) => (at >= since ? Math.max(longest, ms) : longest), 0)

/** What is shorter cannot be told from the system's own delays. */
const NOTED_MS_MIN = 5

const SAMPLE_MS = 20

const noteDelays = (file: string) => {
  appendFileSync(file, "")
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  setInterval(() => {
    const ms = histogram.max / 1e6
    histogram.reset()
    if (ms >= NOTED_MS_MIN) appendFileSync(file, `${JSON.stringify({ at: Date.now(), ms } satisfies Delay)}\n`)
  }, SAMPLE_MS).unref()
}

const { search } = new URL(import.meta.url)
if (search !== "" && isMainThread) noteDelays(decodeURIComponent(search.slice(1)))
