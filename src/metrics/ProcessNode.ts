/**
 * The process as the operating system and V8 see it, under the names that every Prometheus client gives them.
 *
 * Open descriptors are counted as the folder of them is read, a part at a time: a proxy may have a hundred thousand.
 */
import { Effect } from "effect"
import { opendir } from "node:fs/promises"
import { openFilesMax } from "../net/node/OpenFiles.ts"
import { counter, gauge, type Metric, type Sample } from "./Exposition.ts"

/** Reads them. What tells the limit takes milliseconds, so that is asked for once, at the start. */
export const makeProcessMetrics: Effect.Effect<Effect.Effect<ReadonlyArray<Metric>>> = Effect.sync(() =>
  readProcess(openFilesMax())
)

const readProcess = Effect.fnUntraced(function* (openFilesLimit: number) {
  const openFiles = yield* countOpenFiles
  const { external, heapTotal, heapUsed, rss } = process.memoryUsage()
  const { system, user } = process.cpuUsage()
  const { active } = performance.eventLoopUtilization()
  return [
    counter("process_cpu_seconds_total", "User and system CPU time of all threads, in seconds.", [
      [{}, (system + user) / 1e6]
    ]),
    gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", [
      [{}, performance.timeOrigin / 1000]
    ]),
    gauge("process_resident_memory_bytes", "Memory of the process that is in RAM, in bytes.", [[{}, rss]]),
    gauge("process_open_fds", "Open file descriptors.", openFiles),
    gauge("process_max_fds", "The most file descriptors that may be open.", [[{}, openFilesLimit]]),
    gauge("nodejs_heap_size_used_bytes", "JavaScript heap of the main thread in use, in bytes.", [[{}, heapUsed]]),
    gauge("nodejs_heap_size_total_bytes", "JavaScript heap of the main thread, in bytes.", [[{}, heapTotal]]),
    gauge("nodejs_external_memory_bytes", "Memory outside the heap that JavaScript holds, in bytes.", [[{}, external]]),
    counter(
      "mcproxy_event_loop_active_seconds_total",
      "Time in which the main thread's loop was not idle, in seconds.",
      [[{}, active / 1000]]
    )
  ]
})

/** None where the system does not tell. */
const countOpenFiles: Effect.Effect<ReadonlyArray<Sample>> = Effect.promise(async () => {
  try {
    let count = 0
    // Its own descriptor is one of them until it is read.
    for await (const _entry of await opendir("/proc/self/fd", { bufferSize: ENTRIES_A_READ })) count++
    return [[{}, count - 1]]
  } catch {
    return []
  }
})

/** Node's default of 32 would take thousands of turns of the thread pool. */
const ENTRIES_A_READ = 1024
