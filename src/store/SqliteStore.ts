/**
 * The store in SQLite, in a thread of its own, so that no disk ever stalls a connection.
 *
 * Building it claims the file for this process, checks and migrates it, and fills it when it is new; that blocks, and
 * nobody is connected yet. From then on the thread owns the database, and closes it with the layer.
 */
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import { Effect, type FileSystem, Layer, type Scope } from "effect"
import { RpcClient } from "effect/rpc"
import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { DatabaseError, type DatabaseInUse } from "./DatabaseError.ts"
import * as DatabaseFile from "./DatabaseFile.ts"
import { seedIfNew, type SeedingOptions } from "./Seeding.ts"
import { Store, WriteFailed } from "./Store.ts"
import { StoreRpcs } from "./StoreRpcs.ts"

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
      yield* Effect.provide(seedIfNew(seeding), DatabaseFile.layer(claimed))
      return yield* startThread(claimed)
    })
  )

const startThread = Effect.fnUntraced(function* (file: string) {
  const failed = (error: { readonly message: string }) => `has lost the thread that owns it: ${error.message}`
  const protocol = yield* Layer.build(
    RpcClient.layerProtocolWorker({ size: 1 }).pipe(Layer.provide(NodeWorker.layer(() => spawn(file))))
  ).pipe(Effect.mapError((error) => DatabaseError.of(file, failed(error))))
  const client = yield* RpcClient.make(StoreRpcs).pipe(Effect.provide(protocol))
  return Store.of({
    load: client.load().pipe(Effect.catchTag("RpcClientError", (error) => DatabaseError.of(file, failed(error)))),
    commit: (expectedRevision, changes) =>
      client.commit({ expectedRevision, changes }).pipe(
        Effect.catchTag("RpcClientError", (error) =>
          Effect.fail(new WriteFailed({ problem: `${file}: ${failed(error)}`, certain: false }))
        ),
        Effect.uninterruptible
      )
  })
})

/** Beside this file, which is a `.ts` in a checkout and a `.js` in the package. */
const spawn = (file: string): Worker =>
  new Worker(new URL(`./StoreWorker${extname(import.meta.url)}`, import.meta.url), { workerData: file })
