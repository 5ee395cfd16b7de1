/**
 * CPU time of another process, from /proc/PID/task/TID/schedstat.
 *
 * That counts nanoseconds on a CPU for each thread, where /proc/PID/stat has ticks of 10 ms, a tenth of a round. Node's
 * helpers (garbage collection, compilation, the thread pool) are counted like the main thread: they are CPU that the
 * subject takes. A thread that ends in between takes its share out of the count; Node's live as long as the process.
 */
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { BenchError } from "./BenchError.ts"

/** Nanoseconds, by thread. */
export type CpuTime = ReadonlyMap<string, number>

export const readCpu = (pid: number): Effect.Effect<CpuTime, BenchError> =>
  Effect.try({
    try: () => {
      const tasks = `/proc/${pid}/task`
      return new Map(
        readdirSync(tasks).map((thread) => {
          const [onCpuNs] = readFileSync(`${tasks}/${thread}/schedstat`, "latin1").split(" ")
          return [thread, Number(onCpuNs)]
        })
      )
    },
    catch: (error) =>
      new BenchError({
        message: `no CPU time of process ${pid} (it needs Linux's /proc and schedstat): ${String(error)}`
      })
  })

/** Seconds on a CPU between two readings. */
export const cpuSecondsBetween = (before: CpuTime, after: CpuTime): number => {
  let ns = 0
  for (const [thread, time] of after) ns += time - (before.get(thread) ?? 0)
  return ns / 1e9
}
