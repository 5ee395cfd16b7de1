/**
 * The store in SQLite, in a thread of its own, so that no disk ever stalls who asks it.
 *
 * Building it claims the file for this process, checks and migrates it, and fills it when it is new; that blocks, as it
 * may where nobody is connected yet. From then on the thread owns the database, and closes it with the layer.
 */
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import { Effect, type FileSystem, Layer, type Scope } from "effect"
import type { Snapshot } from "../snapshot/Snapshot.ts"
import type { DatabaseError, DatabaseInUse } from "./DatabaseError.ts"
import * as DatabaseFile from "./DatabaseFile.ts"
import { seedIfNew, type SeedingOptions } from "./Seeding.ts"
import { Store, type WriteFailed } from "./Store.ts"
import * as StoreThread from "./StoreThread.ts"

export interface SqliteStoreOptions<E, R> extends SeedingOptions<E, R> {
  readonly file: string
}

export const layer = <E, R>({
  file,
  ...seeding
}: SqliteStoreOptions<E, R>): Layer.Layer<
  Store,
  DatabaseError | DatabaseInUse | WriteFailed | E,
  FileSystem.FileSystem | Exclude<R, Scope.Scope>
> =>
  Layer.effect(
    Store,
    Effect.gen(function* () {
      const claimed = yield* DatabaseFile.claim(file)
      const first = yield* Effect.provide(seedIfNew(seeding), DatabaseFile.layer(claimed))
      const thread = NodeWorker.layer(() => StoreThread.spawn(claimed))
      return withFirst(first, yield* Effect.provide(StoreThread.make(claimed), thread))
    })
  )

/** What the start has read is not read again: it is the first answer, unless something was committed before. */
const withFirst = (first: Snapshot, store: Store["Service"]): Store["Service"] => {
  let kept: Snapshot | undefined = first
  const take = () => {
    const taken = kept
    kept = undefined
    return taken
  }
  return Store.of({
    load: Effect.suspend(() => {
      const snapshot = take()
      return snapshot === undefined ? store.load : Effect.succeed(snapshot)
    }),
    commit: (expectedRevision, changes) =>
      Effect.suspend(() => {
        take()
        return store.commit(expectedRevision, changes)
      })
  })
}
