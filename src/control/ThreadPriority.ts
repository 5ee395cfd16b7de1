/**
 * The control plane's threads give way to the main one: where there are fewer processors than threads that want one, a
 * connection goes before an import. So do V8's own threads, which collect and compile for all threads of the process:
 * after an import there are as many of them at work as processors, and a connection would wait for each in turn, some
 * milliseconds every time. The priorities are those of threads, which is so on Linux; elsewhere they would be the whole
 * process's, and nothing is done.
 */
import { Option } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { constants, getPriority, setPriority } from "node:os"

/** Where all want a processor, about a tenth of the others' share: an import takes longer, and nobody is starved. */
export const NICENESS = 10

/** For the calling thread, those that it starts from then on, and V8's. */
export const giveWay = (): void => {
  if (process.platform !== "linux") return
  for (const thread of [CALLING_THREAD, ...threadsOfV8()]) {
    setPriority(thread, Math.min(getPriority(thread) + NICENESS, constants.priority.PRIORITY_LOW))
  }
}

/** What setpriority(2) takes 0 for. */
const CALLING_THREAD = 0

/** They are there from the start of the process to its end (proc(5)). */
export const threadsOfV8 = (): ReadonlyArray<number> =>
  readdirSync(THREADS)
    .filter((id) => nameOf(id) === THREAD_OF_V8)
    .map(Number)

/** `undefined`: another thread, that has ended since it was listed. */
const nameOf = (id: string): string | undefined =>
  Option.getOrUndefined(Option.liftThrowable(() => readFileSync(`${THREADS}/${id}/comm`, "latin1").trim())())

const THREADS = "/proc/self/task"

/** As Node names them. */
const THREAD_OF_V8 = "node-V8Worker"
