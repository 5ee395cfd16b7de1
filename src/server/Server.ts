/**
 * The proxy as one program: load the state, put it in force, serve until told to stop, drain.
 *
 * The layers it runs on are closed when it returns; everything it started is scoped to them.
 */
import { Effect, Queue } from "effect"
import { DescriptorBudget } from "../net/DescriptorBudget.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { diff, EMPTY } from "../snapshot/Change.ts"
import { Store } from "../store/Store.ts"
import { Connections } from "./Connections.ts"
import { DataPlane } from "./DataPlane.ts"
import { reload } from "./Reload.ts"
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

  yield* plane.bind(snapshot.listeners.map(({ addr }) => addr))
  yield* plane.publish(snapshot.revision, diff(EMPTY, snapshot))
  const routes = snapshot.listeners.reduce((count, listener) => count + listener.routes.length, 0)
  if (routes === 0) yield* Effect.logWarning("no routes: every connection will be refused as no_route")
  yield* Effect.logInfo("ready").pipe(
    Effect.annotateLogs({ routes, rules: snapshot.firewallRules.length, sockets_max: budget.socketsMax })
  )

  yield* options.onReady(plane.bound)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(signals.reload), reloadAlways)))
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

/** A defect of one time is not the end of all others. */
const reloadAlways = Effect.catchDefect(reload, (defect) =>
  Effect.logError("reloading met a defect of the proxy", defect)
)
