/** What the main thread asks of the thread that owns the database. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { DatabaseError } from "./DatabaseError.ts"
import { ChangeSchema, SnapshotSchema } from "./StateSchema.ts"
import { Conflict, WriteFailed } from "./Store.ts"

export class StoreRpcs extends RpcGroup.make(
  Rpc.make("load", { success: SnapshotSchema, error: DatabaseError }),
  Rpc.make("commit", {
    payload: { expectedRevision: Schema.Number, changes: Schema.Array(ChangeSchema) },
    success: Schema.Number,
    error: Schema.Union([Conflict, WriteFailed])
  })
) {}
