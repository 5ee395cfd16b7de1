/**
 * The store as the thread that owns the database serves it (`StoreWorker.ts`), for the thread that asks.
 *
 * It takes one question after the other. Where the thread is lost, what was asked fails, a commit as one of which the
 * result is unknown; within some seconds another takes its place, and answers from what is on the disk.
 */
import { Effect, type Scope } from "effect"
import { RpcClient } from "effect/rpc"
import type { Worker as Workers } from "effect/workers"
import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { DatabaseError } from "./DatabaseError.ts"
import { Store, WriteFailed } from "./Store.ts"
import { StoreRpcs } from "./StoreRpcs.ts"

/** Starts the thread, which ends with the scope, on a database that this process has claimed and checked. */
export const make = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<Store["Service"], DatabaseError, Workers.WorkerPlatform | Workers.Spawner | Scope.Scope> {
  const lost = (error: { readonly message: string }) =>
    `has lost the thread that owns it (${error.message}); another takes its place, so try again`
  const client = yield* Effect.provideServiceEffect(
    RpcClient.make(StoreRpcs, { disableTracing: true }),
    RpcClient.Protocol,
    Effect.mapError(RpcClient.makeProtocolWorker({ size: 1 }), (error) => DatabaseError.of(file, lost(error)))
  )
  return Store.of({
    load: Effect.catchTag(client.load(), "RpcClientError", (error) => DatabaseError.of(file, lost(error))),
    commit: (expectedRevision, changes) =>
      client.commit({ expectedRevision, changes }).pipe(
        Effect.catchTag("RpcClientError", (error) =>
          Effect.fail(new WriteFailed({ problem: `${file}: ${lost(error)}`, certain: false }))
        ),
        Effect.uninterruptible
      )
  })
})

/** The worker's file is beside this one, which is a `.ts` in a checkout and a `.js` in the package. */
export const spawn = (file: string): Worker =>
  new Worker(new URL(`./StoreWorker${extname(import.meta.url)}`, import.meta.url), { workerData: file })
