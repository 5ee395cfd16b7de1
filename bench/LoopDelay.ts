/**
 * Preloaded into a Node program, notes when its main thread was late: one line of JSON each, in the file that the query
 * of the import names (`--import .../LoopDelay.ts?FILE`). Those who read it share the machine's clock.
 *
 * How long of that it was on a CPU tells its own work from what others have on the same machine.
 */
import { appendFileSync, readFileSync } from "node:fs"
import { isMainThread } from "node:worker_threads"

interface Delay {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly lateMs: number
  readonly busyMs: number
}

/** What Node has to be started with, to note its delays in `file`. */
export const noteDelaysIn = (file: string): ReadonlyArray<string> => [
  "--import",
  `${import.meta.url}?${encodeURIComponent(file)}`
]

/** The longest since then, in milliseconds: that its main thread was late, and that it was busy in one go. */
export const longestDelays = (file: string, since: number): Pick<Delay, "lateMs" | "busyMs"> => {
  const delays = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Delay)
    .filter(({ at }) => at >= since)
  return {
    lateMs: Math.max(0, ...delays.map(({ lateMs }) => lateMs)),
    busyMs: Math.max(0, ...delays.map(({ busyMs }) => busyMs))
  }
}

const SAMPLE_MS = 5

/** On a CPU, so far; of the thread that asks. */
const cpuMs = (): number => Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]) / 1e6

const noteDelays = (file: string) => {
  appendFileSync(file, "")
  let [time, cpu] = [performance.now(), cpuMs()]
  setInterval(() => {
    const [timeBefore, cpuBefore] = [time, cpu]
    ;[time, cpu] = [performance.now(), cpuMs()]
    const lateMs = time - timeBefore - SAMPLE_MS
    if (lateMs < SAMPLE_MS) return
    appendFileSync(file, `${JSON.stringify({ at: Date.now(), lateMs, busyMs: cpu - cpuBefore } satisfies Delay)}\n`)
  }, SAMPLE_MS).unref()
}

const { search } = new URL(import.meta.url)
if (search !== "" && isMainThread) noteDelays(decodeURIComponent(search.slice(1)))
