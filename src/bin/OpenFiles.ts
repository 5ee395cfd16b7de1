/** How many sockets the limit of open files leaves to connections. */
import { Data, Effect } from "effect"
import { openFilesMax } from "../net/node/OpenFiles.ts"

/**
 * Descriptors kept for everything but listeners, clients and backends, which has to go on at full load: 25 that Node
 * itself has open, 5 for each of two threads, 5 for the database and its copies, 65 for the admin socket and as many
 * callers as it takes, 33 for the metrics' and as many, and the rest for logs and files being read.
 */
const RESERVED_DESCRIPTORS = 160

export const socketsMax = (): number => openFilesMax() - RESERVED_DESCRIPTORS

/** Ten connections at once: with fewer there is no point in starting. */
const SOCKETS_MIN = 20

/** Fails where the limit is too low to work with. */
export const checkOpenFiles = Effect.gen(function* () {
  const missing = SOCKETS_MIN - socketsMax()
  if (missing > 0) {
    const limit = openFilesMax()
    return yield* new TooFewDescriptors({
      message: `the limit of open files (RLIMIT_NOFILE, ulimit -n) is ${limit}; raise it to ${limit + missing} at least`
    })
  }
})

/** The process may not open enough files. */
export class TooFewDescriptors extends Data.TaggedError("TooFewDescriptors")<{ readonly message: string }> {}
