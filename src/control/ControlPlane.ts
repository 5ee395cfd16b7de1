/**
 * Where every mutation goes: one after the other it is decided on the state that those before it have left, and
 * answered when it is committed and in force (`Writer.ts`).
 */
import { Context, Deferred, Effect, Layer, Queue, type Result } from "effect"
import { Unavailable, type FailedPrecondition, type Internal } from "../admin/AdminError.ts"
import type { Change } from "../snapshot/Change.ts"
import type { DatabaseError } from "../store/DatabaseError.ts"
import { Store } from "../store/Store.ts"
import { Drain } from "./Drain.ts"
import { Follower, type BindFailed } from "./Follower.ts"
import type { StateIndex } from "./StateIndex.ts"
import { Writer, type Mutation, type Published } from "./Writer.ts"

/** What a mutation comes to: the change, which may be none, and what its caller is answered when that is in force. */
export interface Decision<A> {
  readonly change: Change
  readonly answer: A
}

/** Pure. It may be asked more than once, and on top of mutations that are not committed yet. */
export type Decide<A, E> = (state: StateIndex) => Result.Result<Decision<A>, E>

/** Why a mutation that was right was not done. */
export type NotDone = FailedPrecondition | Internal | Unavailable

export class ControlPlane extends Context.Service<
  ControlPlane,
  {
    /** What is in force. */
    readonly current: Published
    /** Once it is begun, it is finished whether its caller waits or not. */
    mutate<A, E>(decide: Decide<A, E>): Effect.Effect<A, E | NotDone>
  }
>()("mc-proxy/control/ControlPlane") {
  /** Puts the stored state in force, and then takes mutations. */
  static readonly layer: Layer.Layer<ControlPlane, DatabaseError | BindFailed, Store | Follower | Drain> = Layer.effect(
    ControlPlane,
    Effect.suspend(() => make)
  )
}

/** Far more than callers that wait for their answers can have; each costs some hundred bytes. */
export const MUTATIONS_WAITING_MAX = 1024

/**
 * Sixteen share the cost of a commit so well that more save little. One that took all who wait would have them all ask
 * again at once, and callers, this thread and the disk would take turns; so they work at the same time.
 */
export const MUTATIONS_A_COMMIT_MAX = 16

interface Waiting extends Mutation {
  /** Nobody waits for it any more: it is not begun. */
  abandoned: boolean
}

const make = Effect.gen(function* () {
  const writer = new Writer(yield* Store, yield* Follower)
  const drain = yield* Drain
  yield* writer.readAgain
  const queue = yield* Queue.bounded<Waiting>(MUTATIONS_WAITING_MAX)
  let ended = false
  yield* Effect.addFinalizer(() =>
    Effect.map(Queue.clear(queue), (left) => {
      ended = true
      for (const { done } of left) Deferred.doneUnsafe(done, new Unavailable({ message: DRAINING }))
    })
  )
  const settleNext = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(Queue.takeBetween(queue, 1, MUTATIONS_A_COMMIT_MAX)), (taken) =>
      writer.settle(taken.filter(({ abandoned }) => !abandoned))
    )
  )
  // The scope's end waits for the batch in hand.
  yield* Effect.forkScoped(Effect.forever(settleNext))

  return ControlPlane.of({
    get current() {
      return writer.current
    },
    mutate: <A, E>(decide: Decide<A, E>): Effect.Effect<A, E | NotDone> =>
      Effect.suspend(() => {
        if (drain.began || ended) return new Unavailable({ message: DRAINING })
        const done = Deferred.makeUnsafe<A, E | NotDone>()
        const waiting: Waiting = { decide, done: done as Mutation["done"], abandoned: false }
        if (!Queue.offerUnsafe(queue, waiting)) return new Unavailable({ message: TOO_MANY })
        return Effect.onInterrupt(Deferred.await(done), () => Effect.sync(() => (waiting.abandoned = true)))
      })
  })
})

const DRAINING = "the proxy is draining and takes no changes any more; nothing was changed"
const TOO_MANY = `${MUTATIONS_WAITING_MAX} changes wait for the database already; nothing was changed, try again`
