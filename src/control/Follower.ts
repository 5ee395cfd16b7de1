/**
 * A data plane as the control plane sees it: it follows the revisions that are published, and tells what it does.
 *
 * The seam between the planes. It may be in another thread, so every value that passes is plain, and a whole state is
 * never asked for.
 */
import { Context, type Effect, Schema, type Stream } from "effect"
import type { ConnectionQuestion, Explanation } from "../pipeline/Explain.ts"
import type { ConnectionEvent, ConnectionFilter, ConnectionView } from "../server/ConnectionView.ts"
import type { Edit } from "../snapshot/Change.ts"

export class Follower extends Context.Service<
  Follower,
  {
    /**
     * Binds listeners ahead of the revision that names them: all of them or none. Those that are bound already stay so.
     * Who comes to them meanwhile waits.
     */
    bind(addrs: ReadonlyArray<string>): Effect.Effect<void, BindFailed>
    /** Closes what was bound ahead: the revision will not come. */
    readonly unbind: Effect.Effect<void>
    /**
     * Puts `revision` in force: the next connection is decided by `change` on top of the revision before. Listeners that
     * it removes stop accepting; their connections go on. The change is read once.
     */
    publish(revision: number, change: Iterable<Edit>): Effect.Effect<void>
    readonly status: Effect.Effect<FollowerStatus>
    /** Live connections, the newest first. */
    connections(filter: ConnectionFilter): Effect.Effect<ReadonlyArray<ConnectionView>>
    /** Each accepted connection as it opens and as it closes, from now on. Slow readers lose events, and are told. */
    readonly events: Stream.Stream<ConnectionEvent>
    /** Resets both sides of a connection; false when there is none of that id. */
    close(id: string): Effect.Effect<boolean>
    /** What would be done with such a connection now; `undefined`: there is no such listener. Spends no quota. */
    explain(question: ConnectionQuestion): Effect.Effect<Explanation | undefined>
    /** Reads the files again that the operator may have replaced. */
    readonly reload: Effect.Effect<Reloaded>
  }
>()("mc-proxy/control/Follower") {}

/** A listener cannot be bound. `message` is for the operator. */
export class BindFailed extends Schema.TaggedError<BindFailed>()("BindFailed", { message: Schema.String }) {}

export interface FollowerStatus {
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** Accepted since the start. */
  readonly connectionsTotal: number
  readonly connectionsActive: number
  /** By `addr`. */
  readonly activeByListener: Readonly<Record<string, number>>
  readonly draining: boolean
  /** Of L7 routes; bounded. */
  readonly certificateProblems: ReadonlyArray<CertificateProblem>
}

/** Why the files that routes name did not load when they were last read. */
export interface CertificateProblem {
  readonly tlsCert: string
  readonly tlsKey: string
  readonly problem: string
  /** Whether what was loaded before is served. */
  readonly served: boolean
}

export interface Reloaded {
  /** Paths. */
  readonly reloaded: ReadonlyArray<string>
  /** Kept as they were. */
  readonly failed: ReadonlyArray<{ readonly path: string; readonly reason: string }>
}
