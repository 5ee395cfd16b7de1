/** The data plane of another thread of this program, over a MessagePort. */
import { Effect, Layer, Stream } from "effect"
import { RpcClient, type RpcClientError } from "effect/rpc"
import type { Change, Edit } from "../snapshot/Change.ts"
import { Follower } from "./Follower.ts"
import { FollowerRpcs } from "./FollowerRpcs.ts"

export const layer: Layer.Layer<Follower, never, RpcClient.Protocol> = Layer.effect(
  Follower,
  Effect.map(RpcClient.make(FollowerRpcs, { disableTracing: true }), (client) => {
    const publish = Effect.fnUntraced(function* (revision: number, change: Iterable<Edit>) {
      const slices = slicesOf(change)
      const encoder = new TextEncoder()
      const encode = (slice: Change) => encoder.encode(JSON.stringify(slice))
      const last = slices.length - 1
      for (let i = 0; i < last; i += SLICES_A_MESSAGE) {
        yield* client.stage({ slices: slices.slice(i, Math.min(i + SLICES_A_MESSAGE, last)).map(encode) })
      }
      yield* client.publish({ revision, slice: JSON.stringify(slices.at(-1) ?? []) })
    })
    return Follower.of({
      bind: (addrs) => client.bind({ addrs }).pipe(orDie),
      unbind: client.unbind().pipe(orDie),
      publish: (revision, change) => orDie(publish(revision, change)),
      status: client.status().pipe(orDie),
      connections: (filter) =>
        Effect.map(orDie(Stream.runCollect(client.connections(filter))), (slices) => slices.flat()),
      events: client.events().pipe(Stream.orDie),
      close: (id) => client.close({ id }).pipe(orDie),
      explain: (question) => client.explain(question).pipe(orDie),
      reload: client.reload().pipe(orDie)
    })
  })
)

/** The other thread is there as long as this one, so that a port that fails is a defect. */
const orDie = <A, E, R>(effect: Effect.Effect<A, E | RpcClientError.RpcClientError, R>) =>
  Effect.catchTag(effect, "RpcClientError", (error) => Effect.die(error))

/** Of a change at most so many rules or other edits at a time: the other thread reads that many in half a millisecond. */
const SLICE_ITEMS_MAX = 500

/**
 * So many slices are read from a message in a fraction of a millisecond. Each message is written under a lock: where this
 * thread loses its processor in the midst of that, the other waits for it, and this one comes last by its priority.
 */
const SLICES_A_MESSAGE = 20

/** The change in parts, none of which takes long to read. */
export const slicesOf = (change: Iterable<Edit>): ReadonlyArray<Change> => {
  const slices: Array<Array<Edit>> = []
  let room = 0
  const add = (edit: Edit, items: number) => {
    if (items > room) {
      slices.push([])
      room = SLICE_ITEMS_MAX
    }
    slices.at(-1)!.push(edit)
    room -= items
  }
  for (const edit of change) {
    if (edit._tag !== "PutRules" && edit._tag !== "RemoveRules") {
      add(edit, 1)
      continue
    }
    for (let i = 0; i < edit.rules.length; i += SLICE_ITEMS_MAX) {
      const rules = edit.rules.slice(i, i + SLICE_ITEMS_MAX)
      add({ ...edit, rules }, rules.length)
    }
  }
  return slices
}
