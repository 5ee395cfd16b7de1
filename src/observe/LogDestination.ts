/** Where log bytes go: the port between the sink and a descriptor, or a test. */
import { Data } from "effect"
import type { Effect } from "effect"

export interface LogDestination {
  /**
   * Takes the first of `bytes` and answers how many; 0 when there is no room now, so ask again later. Fails when it is
   * broken for good. The caller waits for the answer before it writes again; if it gives up it writes no more.
   */
  readonly write: (bytes: Uint8Array) => Effect.Effect<number, LogDestinationBroken>
}

/** The destination takes no more bytes, ever: a pipe without a reader, a descriptor that is none. */
export class LogDestinationBroken extends Data.TaggedError("LogDestinationBroken")<{ readonly cause: unknown }> {}
