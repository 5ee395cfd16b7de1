/**
 * Every live connection of this data plane, and its fiber.
 *
 * It supervises: a connection is here from accept until its fiber has ended, and when the layer closes those that are
 * left are ended as `shutdown`. Draining, the admin API and the gauges read it.
 */
import { Clock, Context, Deferred, Effect, Layer, Random } from "effect"
import type { Connection } from "../net/Connection.ts"
import { Network } from "../net/Network.ts"
import { LiveConnection } from "../pipeline/LiveConnection.ts"
import type { Outcome } from "../pipeline/Outcome.ts"

export class Connections extends Context.Service<
  Connections,
  {
    /** Registers a connection that `listener` has accepted. The caller owns it until it calls `remove`. */
    add(listener: string, socket: Connection): LiveConnection
    /** The connection's fiber has ended. */
    remove(live: LiveConnection): void
    get(id: string): LiveConnection | undefined
    /** In the order of their opening. */
    all(): Iterable<LiveConnection>
    readonly size: number
    /** Ends every live connection with that outcome. */
    endAll(outcome: Outcome): void
    /** Completes when none is left. */
    readonly awaitNone: Effect.Effect<void>
  }
>()("mc-proxy/server/Connections") {
  static readonly layer: Layer.Layer<Connections, never, Network> = Layer.effect(
    Connections,
    Effect.gen(function* () {
      const registry = yield* make
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => {
          registry.endAll("shutdown")
          return registry.awaitNone
        })
      )
      return registry
    })
  )
}

const make = Effect.gen(function* () {
  const network = yield* Network
  const clock = yield* Clock.Clock
  // Unguessable enough that no two runs share ids, short enough to read out; with the counter far under UNIQUE_ID's 128.
  const run = (yield* Random.nextIntBetween(0, 36 ** 8 - 1)).toString(36).padStart(8, "0")
  const live = new Map<string, LiveConnection>()
  const waiting = new Set<Deferred.Deferred<void>>()
  let count = 0

  return Connections.of({
    add: (listener, socket) => {
      const id = `${run}-${(++count).toString(36)}`
      const connection = new LiveConnection(id, listener, socket, clock.currentTimeMillisUnsafe(), network.now())
      live.set(id, connection)
      return connection
    },
    remove: ({ id }) => {
      live.delete(id)
      if (live.size > 0) return
      for (const none of waiting) Deferred.doneUnsafe(none, Effect.void)
      waiting.clear()
    },
    get: (id) => live.get(id),
    all: () => live.values(),
    get size() {
      return live.size
    },
    endAll: (outcome) => {
      for (const connection of live.values()) connection.end(outcome)
    },
    awaitNone: Effect.suspend(() => {
      if (live.size === 0) return Effect.void
      const none = Deferred.makeUnsafe<void>()
      waiting.add(none)
      return Deferred.await(none)
    })
  })
})
