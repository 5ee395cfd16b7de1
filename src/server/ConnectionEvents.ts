/**
 * Tells whoever watches of each connection as it opens and as it closes.
 *
 * A watcher that does not read loses events, and is told how many; it holds up nobody. Without a watcher nothing is
 * made.
 */
import { Effect, Queue } from "effect"
import type { Scope } from "effect"
import type { LiveConnection } from "../pipeline/LiveConnection.ts"
import type { Outcome } from "../pipeline/Outcome.ts"
import { viewOf, type ConnectionEvent } from "./ConnectionView.ts"

/** Events for one watcher, some seconds of a busy proxy; at half a kilobyte each they take 2 MB. */
export const EVENTS_BUFFERED_MAX = 4096

export interface Watcher {
  /** What has happened since the last call, one event at least, and at the end how many more were lost. */
  readonly take: Effect.Effect<readonly [ConnectionEvent, ...Array<ConnectionEvent>]>
}

interface Watching {
  readonly buffer: Queue.Queue<ConnectionEvent>
  /** Those there was no room for, and that it has not been told of. */
  lost: number
}

export class ConnectionEvents {
  readonly #watching = new Set<Watching>()
  /** Events lost by any watcher since the start. */
  lostTotal = 0

  opened(live: LiveConnection): void {
    if (this.#watching.size > 0) this.#tell({ _tag: "Opened", connection: viewOf(live) })
  }

  closed(live: LiveConnection, outcome: Outcome): void {
    if (this.#watching.size > 0) this.#tell({ _tag: "Closed", connection: viewOf(live), outcome })
  }

  /** From now on, until the scope closes. */
  readonly watch: Effect.Effect<Watcher, never, Scope.Scope> = Effect.acquireRelease(
    Effect.map(Queue.dropping<ConnectionEvent>(EVENTS_BUFFERED_MAX), (buffer): Watching => {
      const watching = { buffer, lost: 0 }
      this.#watching.add(watching)
      return watching
    }),
    (watching) => {
      this.#watching.delete(watching)
      return Queue.shutdown(watching.buffer)
    }
  ).pipe(
    Effect.map((watching) => ({
      take: Effect.map(Queue.takeAll(watching.buffer), (events) => {
        const count = watching.lost
        watching.lost = 0
        return count === 0 ? events : [...events, { _tag: "Dropped", count }]
      })
    }))
  )

  #tell(event: ConnectionEvent): void {
    for (const watching of this.#watching) {
      if (Queue.offerUnsafe(watching.buffer, event)) continue
      watching.lost++
      this.lostTotal++
    }
  }
}
