/**
 * Every live connection of this data plane, and its fiber.
 *
 * It supervises: a connection is here from accept until its fiber has ended, and when the layer closes those that are
 * left are ended as `shutdown`. Draining, the admin API and the gauges read it.
 */
import { Clock, Context, Deferred, Effect, Layer, Random } from "effect"
import type { Scope } from "effect"
import type { Connection } from "../net/Connection.ts"
import { Network } from "../net/Network.ts"
import { LiveConnection } from "../pipeline/LiveConnection.ts"
import type { Outcome } from "../pipeline/Outcome.ts"
import { Running } from "../pipeline/Running.ts"
import { ConnectionEvents, type Watcher } from "./ConnectionEvents.ts"
import { isAmong, viewOf, type ConnectionFilter, type ConnectionView } from "./ConnectionView.ts"

export class Connections extends Context.Service<
  Connections,
  {
    /** Registers a connection that `listener` has accepted. The caller owns it until it calls `remove`. */
    add(listener: string, socket: Connection): LiveConnection
    /** The connection's fiber has ended. */
    remove(live: LiveConnection): void
    /** Looks through all of them: for an operator. */
    get(id: string): LiveConnection | undefined
    /** In the order of their opening. */
    all(): ReadonlyArray<LiveConnection>
    readonly size: number
    /** Accepted since the start. */
    readonly openedTotal: number
    /** Those that the filter lets pass, the newest first. However many there are, nobody else waits for it. */
    list(filter: ConnectionFilter): Effect.Effect<ReadonlyArray<ConnectionView>>
    /** Brings the listeners' totals of bytes up to now, for connections that may last for days. */
    readonly countBytes: Effect.Effect<void>
    /** Each connection as it opens and as it closes, those that are refused too, from now until the scope closes. */
    readonly watch: Effect.Effect<Watcher, never, Scope.Scope>
    /** Events that watchers were too slow for, since the start. */
    readonly droppedEvents: number
    /** Tells every live connection on L7 to finish, those that are on their way there too. */
    retireAll(): void
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
  const live = new Running<LiveConnection>()
  const waiting = new Set<Deferred.Deferred<void>>()
  const events = new ConnectionEvents()
  let openedTotal = 0

  const list = Effect.fnUntraced(function* (filter: ConnectionFilter) {
    const views: Array<ConnectionView> = []
    const all = live.all()
    for (let looked = 0; looked < all.length && views.length < filter.limit; looked++) {
      if (looked > 0 && looked % LISTED_A_SLICE === 0) yield* Effect.yieldNow
      const connection = all[all.length - 1 - looked]!
      if (isAmong(filter, connection) && live.has(connection)) views.push(viewOf(connection))
    }
    return views
  })

  const countBytes = Effect.gen(function* () {
    let counted = 0
    for (const connection of live.all()) {
      if (counted++ % COUNTED_A_SLICE === COUNTED_A_SLICE - 1) yield* Effect.yieldNow
      connection.countBytes()
    }
  })

  return Connections.of({
    add: (listener, socket) => {
      const id = `${run}-${(++openedTotal).toString(36)}`
      const connection = new LiveConnection(id, listener, socket, clock.currentTimeMillisUnsafe(), network.now())
      live.add(connection)
      events.opened(connection)
      return connection
    },
    remove: (connection) => {
      live.remove(connection)
      events.closed(connection, connection.settle("internal"))
      if (live.size > 0) return
      for (const none of waiting) Deferred.doneUnsafe(none, Effect.void)
      waiting.clear()
    },
    get: (id) => live.all().find((connection) => connection.id === id),
    all: () => live.all(),
    get size() {
      return live.size
    },
    get openedTotal() {
      return openedTotal
    },
    list,
    countBytes,
    watch: events.watch,
    get droppedEvents() {
      return events.lostTotal
    },
    retireAll: () => {
      for (const connection of live.all()) connection.retire()
    },
    endAll: (outcome) => {
      for (const connection of live.all()) connection.end(outcome)
    },
    awaitNone: Effect.suspend(() => {
      if (live.size === 0) return Effect.void
      const none = Deferred.makeUnsafe<void>()
      waiting.add(none)
      return Deferred.await(none)
    })
  })
})

/** So many are told in a millisecond or two. */
const LISTED_A_SLICE = 1024

/** And so many counted in as long. */
const COUNTED_A_SLICE = 4096
