/**
 * The control plane's threads give way to the main one: where there are fewer processors than threads that want one, a
 * connection goes before an import. The priority is this thread's alone, which is so on Linux; elsewhere it would be
 * the whole process's, and nothing is done.
 */
import { constants, getPriority, setPriority } from "node:os"

/** Where all want a processor, about a tenth of the others' share: an import takes longer, and nobody is starved. */
export const NICENESS = 10

/** For the calling thread, and those that it starts from then on. */
export const giveWay = (): void => {
  if (process.platform !== "linux") return
  setPriority(CALLING_THREAD, Math.min(getPriority(CALLING_THREAD) + NICENESS, constants.priority.PRIORITY_LOW))
}

/** What setpriority(2) takes 0 for. */
const CALLING_THREAD = 0
