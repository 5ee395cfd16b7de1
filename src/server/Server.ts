/**
 * The proxy as one program: load the state, put it in force, serve until told to stop, drain.
 *
 * The layers it runs on are closed when it returns; everything it started is scoped to them.
 */
import { Effect, Queue } from "effect"
import { GeoIp } from "../firewall/GeoIp.ts"
import { DescriptorBudget } from "../net/DescriptorBudget.ts"
import { formatSocketAddress, type SocketAddress } from "../net/SocketAddress.ts"
import { Store } from "../store/Store.ts"
import { Connections } from "./Connections.ts"
import { DataPlane } from "./DataPlane.ts"
import { Signals } from "./Signals.ts"

/**
 * Serves until the first SIGINT or SIGTERM, then drains. Fails when a listener cannot bind. `onReady` runs once, when
 * every listener accepts, with the addresses they are bound to by their `addr`.
 */
export const run = Effect.fn("Server.run")(function* <E, R>(options: {
  readonly shutdownTimeoutMs: number
  readonly onReady: (bound: ReadonlyMap<string, SocketAddress>) => Effect.Effect<void, E, R>
}) {
  const plane = yield* DataPlane
  const signals = yield* Signals
  const budget = yield* DescriptorBudget
  const snapshot = yield* (yield* Store).load

  yield* plane.publish(snapshot)
  for (const [listener, bound] of plane.bound) {
    yield* Effect.logInfo("listening").pipe(Effect.annotateLogs({ listener, address: formatSocketAddress(bound) }))
  }
  const routes = snapshot.listeners.reduce((count, listener) => count + listener.routes.length, 0)
  if (routes === 0) yield* Effect.logWarning("no routes: every connection will be refused as no_route")
  yield* Effect.logInfo("ready").pipe(
    Effect.annotateLogs({ routes, rules: snapshot.firewallRules.length, sockets_max: budget.socketsMax })
  )

  yield* options.onReady(plane.bound)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(signals.reload), () => reload())))
  const served = Effect.flatMap(Queue.take(signals.stop), (signal) => drain(signal, options.shutdownTimeoutMs))
  const connections = yield* Connections
  yield* Effect.raceFirst(served, signals.defect).pipe(
    Effect.tapDefect(() => Effect.sync(() => connections.endAll("internal")))
  )
}, Effect.scoped)

/** Stops accepting, lets connections finish, and resets what is left at the deadline or at a second signal. */
const drain = Effect.fn("Server.drain")(function* (signal: string, timeoutMs: number) {
  const plane = yield* DataPlane
  const connections = yield* Connections
  const signals = yield* Signals

  yield* plane.stopAccepting
  yield* Effect.logInfo("draining").pipe(Effect.annotateLogs({ signal, connections: connections.size }))
  yield* connections.awaitNone.pipe(Effect.timeoutOption(timeoutMs), Effect.raceFirst(Queue.take(signals.stop)))
  const left = connections.size
  connections.endAll("shutdown")
  yield* connections.awaitNone
  yield* Effect.logInfo("stopped").pipe(Effect.annotateLogs({ reset: left }))
})

/** Reads the files again that the operator may have replaced. A bad one is logged, and the old one kept. */
const reload = Effect.fn("Server.reload")(
  function* () {
    const path = yield* (yield* GeoIp).reload
    if (path === undefined) yield* Effect.logInfo("nothing to reload: no GeoIP database is configured")
    else yield* Effect.logInfo("reloaded").pipe(Effect.annotateLogs({ path }))
  },
  Effect.catch((error) => Effect.logError("kept the old file", error))
)
