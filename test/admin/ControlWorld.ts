/** The control plane in one thread, on a database of its own and a data plane that keeps what is published. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Context, Effect, Layer } from "effect"
import { RpcTest } from "effect/rpc"
import * as AdminOperations from "../../src/admin/AdminOperations.ts"
import { AdminRpcs } from "../../src/admin/AdminRpcs.ts"
import { AdminSettings } from "../../src/admin/AdminSettings.ts"
import { ControlPlane } from "../../src/control/ControlPlane.ts"
import { Drain } from "../../src/control/Drain.ts"
import { Follower } from "../../src/control/Follower.ts"
import { EMPTY } from "../../src/snapshot/Change.ts"
import * as Database from "../../src/store/Database.ts"
import * as DatabaseFile from "../../src/store/DatabaseFile.ts"
import { seedIfNew } from "../../src/store/Seeding.ts"
import { Store } from "../../src/store/Store.ts"
import type { FakeFollower } from "../control/FakeFollower.ts"

/** Closed with the scope; what was answered is in the file. */
export const openControl = Effect.fnUntraced(function* (
  file: string,
  follower: FakeFollower,
  { geoipDb = "" }: { readonly geoipDb?: string } = {}
) {
  const settings = Layer.succeed(AdminSettings, { database: file, geoipDb, version: "0.0.0-test" })
  const services = yield* Layer.build(
    AdminOperations.layer.pipe(
      Layer.provideMerge(ControlPlane.layer),
      Layer.provideMerge(
        Layer.mergeAll(settings, Drain.layer, Layer.succeed(Follower, follower.service), layerStore(file))
      ),
      Layer.provideMerge(NodeServices.layer)
    )
  )
  return {
    client: yield* Effect.provideContext(RpcTest.makeClient(AdminRpcs), services),
    control: Context.get(services, ControlPlane),
    drain: Context.get(services, Drain)
  }
})

/** SQLite in this thread. */
const layerStore = (file: string) =>
  Layer.effect(
    Store,
    Effect.gen(function* () {
      const claimed = yield* DatabaseFile.claim(file)
      const database = yield* Layer.build(DatabaseFile.layer(claimed))
      yield* Effect.provideContext(
        seedIfNew({ seed: EMPTY, beforeSeeding: Effect.void, onStored: () => Effect.void }),
        database
      )
      return Store.of({
        load: Effect.map(Effect.provideContext(Database.load(), database), ({ snapshot }) => snapshot),
        commit: (expected, changes) => Effect.provideContext(Database.commit(expected, changes), database)
      })
    })
  )
