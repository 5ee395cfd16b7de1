/**
 * The thread that owns the database: SQLite blocks its caller for as long as the disk takes, and here that is nobody
 * else. It ends, and closes the database, when the thread that started it says so.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import { Effect, Layer, Schema } from "effect"
import { RpcServer } from "effect/rpc"
import { workerData } from "node:worker_threads"
import * as Database from "./Database.ts"
import { layerChecked } from "./DatabaseFile.ts"
import { placeOf } from "./FilePlace.ts"
import { StoreRpcs } from "./StoreRpcs.ts"

/** Who started it has claimed the file and brought it up to date. */
const file = Schema.decodeUnknownSync(Schema.String)(workerData)

/** The database is open when it is asked for these. */
const layerHandlers = StoreRpcs.toLayer(
  Effect.sync(() => {
    const inPlace = placeOf(file)
    return {
      load: () => Effect.map(Database.load(), ({ snapshot }) => snapshot),
      commit: ({ changes, expectedRevision }) => Effect.andThen(inPlace, Database.commit(expectedRevision, changes))
    }
  })
)

const layerServer = RpcServer.layer(StoreRpcs, { disableTracing: true }).pipe(
  Layer.provide(layerHandlers),
  Layer.provide(layerChecked(file)),
  Layer.provide(RpcServer.layerProtocolWorkerRunner),
  Layer.provide(NodeWorkerRunner.layer)
)

/** Nobody collects this thread's spans, which a statement would have each. */
const program = Effect.withTracerEnabled(Layer.launch(layerServer), false)

NodeRuntime.runMain(program, { disableErrorReporting: true })
