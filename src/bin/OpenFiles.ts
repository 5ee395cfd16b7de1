/** How many sockets the limit of open files leaves to connections. */
import { Data, Effect } from "effect"
import { openFilesMax } from "../net/node/OpenFiles.ts"

/**
 * Descriptors kept for everything but clients and backends: Node itself has about 25 open, and a database, logs, an
 * admin socket with its callers, a metrics endpoint, listeners and files being read have to go on at full load.
 */
const RESERVED_DESCRIPTORS = 64

/** Each listener is a descriptor beside those of its connections. */
export const socketsMax = (listeners: number): number => openFilesMax() - RESERVED_DESCRIPTORS - listeners

/** Ten connections at once: with fewer there is no point in starting. */
const SOCKETS_MIN = 20

/** Fails where the limit is too low to work with. */
export const checkOpenFiles = Effect.fnUntraced(function* (listeners: number) {
  const missing = SOCKETS_MIN - socketsMax(listeners)
  if (missing > 0) {
    const limit = openFilesMax()
    return yield* new TooFewDescriptors({
      message: `the limit of open files (RLIMIT_NOFILE, ulimit -n) is ${limit}; raise it to ${limit + missing} at least`
    })
  }
})

/** The process may not open enough files. */
export class TooFewDescriptors extends Data.TaggedError("TooFewDescriptors")<{ readonly message: string }> {}
