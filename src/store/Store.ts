/**
 * Where listeners, routes and rules come from, and where changes of them go before anything else knows of them.
 *
 * A commit that was answered is there after any crash. Memory is the caller's affair: it changes after the answer.
 */
import { Context, Effect, Layer, Ref, Result, Schema } from "effect"
import { apply, type Change, type State } from "../snapshot/Change.ts"
import type { Snapshot } from "../snapshot/Snapshot.ts"
import type { DatabaseError } from "./DatabaseError.ts"

export class Store extends Context.Service<
  Store,
  {
    /** The state as it was last committed. */
    readonly load: Effect.Effect<Snapshot, DatabaseError>
    /**
     * Makes all of `changes` or none, each a revision of its own, and answers the last. Fails with `Conflict` when the
     * state is no longer the one of `expectedRevision`. Once it has begun it is not interrupted.
     */
    commit(expectedRevision: number, changes: ReadonlyArray<Change>): Effect.Effect<number, Conflict | WriteFailed>
  }
>()("mc-proxy/store/Store") {
  /** A state that goes with the layer. */
  static layerMemory(state: State): Layer.Layer<Store> {
    return Layer.effect(
      Store,
      Effect.map(Ref.make<Snapshot>({ revision: 1, ...state }), (current) =>
        Store.of({
          load: Ref.get(current),
          commit: (expectedRevision, changes) =>
            Effect.flatten(Ref.modify(current, (before) => commitInMemory(before, expectedRevision, changes)))
        })
      )
    )
  }
}

/** Somebody else has committed in between; nothing was changed. */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", {
  expected: Schema.Number,
  actual: Schema.Number
}) {
  override get message(): string {
    return `the database is at revision ${this.actual}, and no longer at ${this.expected}: another program has changed it`
  }
}

/** Nothing was changed, as far as is known. */
export class WriteFailed extends Schema.TaggedError<WriteFailed>()("WriteFailed", {
  /** What went wrong, and what to do. */
  problem: Schema.String,
  /** False: whether anything was changed is not known, and has to be read. */
  certain: Schema.Boolean,
  /** Another program has the database locked, and was waited for as long as may be: no change is to blame. */
  locked: Schema.Boolean.pipe(Schema.withConstructorDefault(Effect.succeed(false)))
}) {
  override get message(): string {
    return this.problem
  }
}

const commitInMemory = (
  before: Snapshot,
  expected: number,
  changes: ReadonlyArray<Change>
): readonly [Effect.Effect<number, Conflict | WriteFailed>, Snapshot] => {
  if (before.revision !== expected) return [Effect.fail(new Conflict({ expected, actual: before.revision })), before]
  const after = apply(before, changes.flat())
  if (Result.isFailure(after)) return [Effect.fail(new WriteFailed({ problem: after.failure, certain: true })), before]
  const revision = expected + changes.length
  return [Effect.succeed(revision), { revision, ...after.success }]
}
