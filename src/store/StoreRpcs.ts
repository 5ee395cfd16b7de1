/**
 * What is asked of the thread that owns the database.
 *
 * Both threads run this program, and whoever made a value has checked it: states and changes pass as they are, since to
 * check a hundred thousand rules once more takes longer than to write them.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import type { Change } from "../snapshot/Change.ts"
import type { Snapshot } from "../snapshot/Snapshot.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { Conflict, WriteFailed } from "./Store.ts"

const asItIs = <A>() => Schema.declare((_value): _value is A => true, { toCodecJson: () => undefined })

export class StoreRpcs extends RpcGroup.make(
  Rpc.make("load", { success: asItIs<Snapshot>(), error: DatabaseError }),
  Rpc.make("commit", {
    payload: { expectedRevision: Schema.Number, changes: asItIs<ReadonlyArray<Change>>() },
    success: Schema.Number,
    error: Schema.Union([Conflict, WriteFailed])
  })
) {}
