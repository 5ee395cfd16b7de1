/**
 * The proxy as one program: serve what the control plane has put in force until told to stop, then drain.
 *
 * The layers it runs on are closed when it returns; everything it started is scoped to them.
 */
import { Effect, HashMap, Queue } from "effect"
import { Drain } from "../control/Drain.ts"
import { DescriptorBudget } from "../net/DescriptorBudget.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { Connections } from "./Connections.ts"
import { DataPlane } from "./DataPlane.ts"
import { reload } from "./Reload.ts"
import { Signals } from "./Signals.ts"

/**
 * Serves until the first SIGINT or SIGTERM, then drains. `onReady` runs once, at the start, with the addresses that the
 * listeners are bound to by their `addr`. Without its control plane the proxy cannot go on: it ends as that does.
 */
export const run = Effect.fn("Server.run")(function* <E, E2, R>(options: {
  readonly shutdownTimeoutMs: number
  readonly onReady: (bound: ReadonlyMap<string, SocketAddress>) => Effect.Effect<void, E, R>
  readonly controlEnded: Effect.Effect<never, E2>
}) {
  const plane = yield* DataPlane
  const signals = yield* Signals
  const budget = yield* DescriptorBudget

  const { firewall, listeners } = plane.state
  const { cidr, country, ip } = firewall.counts
  const routes = [...listeners.values()].reduce((count, listener) => count + HashMap.size(listener.routes), 0)
  if (routes === 0) yield* Effect.logWarning("no routes: every connection will be refused as no_route")
  yield* Effect.logInfo("ready").pipe(
    Effect.annotateLogs({ routes, rules: ip + cidr + country, sockets_max: budget.socketsMax })
  )
  yield* options.onReady(plane.bound)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(signals.reload), reloadAlways)))
  const served = Effect.flatMap(Queue.take(signals.stop), (signal) => drain(signal, options.shutdownTimeoutMs))
  const connections = yield* Connections
  const endAll = Effect.sync(() => connections.endAll("internal"))
  yield* Effect.raceFirst(served, Effect.raceFirst(signals.defect, options.controlEnded)).pipe(
    Effect.tapDefect(() => endAll),
    Effect.tapError(() => endAll)
  )
}, Effect.scoped)

/** Stops accepting, lets connections finish (those on L7 are told to), and resets what is left at the deadline or at a second signal. */
const drain = Effect.fn("Server.drain")(function* (signal: string, timeoutMs: number) {
  const plane = yield* DataPlane
  const connections = yield* Connections
  const signals = yield* Signals

  yield* (yield* Drain).begin
  yield* plane.stopAccepting
  connections.retireAll()
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
