/** Lets the control thread use this thread's data plane, over a MessagePort. */
import { Deferred, Effect, Layer, Stream } from "effect"
import { RpcServer } from "effect/rpc"
import type { MessagePort } from "node:worker_threads"
import type { Change, Edit } from "../snapshot/Change.ts"
import { Drain } from "./Drain.ts"
import { Follower } from "./Follower.ts"
import { FollowerRpcs } from "./FollowerRpcs.ts"
import * as PortProtocol from "./PortProtocol.ts"

/** How the control thread is doing, and when it is to end. */
export interface Lifecycle {
  /** It takes requests, or says why it cannot start. */
  readonly started: Deferred.Deferred<void, { readonly message: string }>
  readonly stop: Deferred.Deferred<void>
}

export const layer = (port: MessagePort, lifecycle: Lifecycle): Layer.Layer<never, never, Follower | Drain> =>
  RpcServer.layer(FollowerRpcs, { disableTracing: true }).pipe(
    Layer.provide(layerHandlers(lifecycle)),
    Layer.provide(PortProtocol.layerServer(port))
  )

const layerHandlers = ({ started, stop }: Lifecycle) =>
  FollowerRpcs.toLayer(
    Effect.gen(function* () {
      const follower = yield* Follower
      const drain = yield* Drain
      let staged: Array<Uint8Array> = []
      return {
        bind: ({ addrs }) => follower.bind(addrs),
        unbind: () => follower.unbind,
        stage: ({ slices }) => Effect.sync(() => void staged.push(...slices)),
        publish: ({ revision, slice }) =>
          Effect.suspend(() => {
            const before = staged
            staged = []
            return follower.publish(revision, readEdits(before, slice))
          }),
        status: () => follower.status,
        connections: (filter) => Stream.unwrap(Effect.map(follower.connections(filter), slicesOf)),
        events: () => follower.events,
        close: ({ id }) => follower.close(id),
        explain: (question) => follower.explain(question),
        reload: () => follower.reload,
        started: () => Effect.asVoid(Deferred.succeed(started, undefined)),
        failed: ({ message }) => Effect.asVoid(Deferred.fail(started, { message })),
        awaitDrain: () => drain.awaitBegin,
        awaitStop: () => Deferred.await(stop)
      }
    })
  )

/** Each slice is read when it is its turn: a hundred thousand rules are never all there as objects. */
const readEdits = function* (staged: ReadonlyArray<Uint8Array>, last: string): Generator<Edit> {
  const decoder = new TextDecoder()
  for (const slice of staged) yield* JSON.parse(decoder.decode(slice)) as Change
  yield* JSON.parse(last) as Change
}

const slicesOf = <A>(items: ReadonlyArray<A>): Stream.Stream<ReadonlyArray<A>> =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(items.length / SLICE_ITEMS_MAX) }, (_, i) =>
      items.slice(i * SLICE_ITEMS_MAX, (i + 1) * SLICE_ITEMS_MAX)
    )
  ).pipe(Stream.rechunk(1))

/** So many connections are written in about a millisecond. */
const SLICE_ITEMS_MAX = 100
