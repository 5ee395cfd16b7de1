/** Plays whoever runs the edge proxy: starts it, starts it again when it is lost, and tells it to stop in the end. */
import { Cause, Context, Deferred, Effect, Exit, Layer, Scope } from "effect"
import { ControlPlane } from "../../control/ControlPlane.ts"
import { RateLimiter } from "../../firewall/RateLimiter.ts"
import { Network } from "../../net/Network.ts"
import { DataPlane } from "../../server/DataPlane.ts"
import { SimProxy, type Replaceable } from "../SimProxy.ts"
import { itemsOf } from "./History.ts"
import type { Life, World } from "./World.ts"

/** Services of one's own for the edge. */
export type Replacement = Layer.Layer<never, never, Network | Replaceable>

/** Until it has stopped by itself. */
export const runEdge = Effect.fnUntraced(function* (world: World, replacement: Replacement) {
  while (true) {
    const stopped = yield* live(world, replacement)
    if (stopped) return
    yield* Effect.sleep(RESTART_MS)
  }
})

/** What a service manager waits. */
const RESTART_MS = 60

/** One process: true when it has stopped because it was told to. */
const live = Effect.fnUntraced(function* (world: World, replacement: Replacement) {
  const { journal } = world
  const scope = yield* Scope.make()
  const lost = yield* Deferred.make<void>()
  journal.note({ _tag: "Process", what: "starting" })
  const current: { life: Life | undefined } = { life: undefined }
  const built = yield* Layer.buildWithScope(layerEdge(world, current, replacement), scope).pipe(
    Effect.provideService(Network, world.edgeHost),
    Effect.exit
  )
  if (Exit.isFailure(built)) {
    journal.note({ _tag: "Process", what: "not_started" })
    journal.note({ _tag: "Said", line: Cause.pretty(built.cause) })
    yield* Scope.close(scope, Exit.void)
    return false
  }
  const proxy = Context.get(built.value, SimProxy)
  const life: Life = {
    proxy,
    control: Context.get(built.value, ControlPlane),
    plane: Context.get(built.value, DataPlane),
    lost
  }
  current.life = world.life = life
  world.uncertain = false
  journal.note({ _tag: "Process", what: "serving" })
  journal.note({ _tag: "Stored", items: itemsOf(world.disk.stored) })
  const stopping = yield* Effect.forkChild(stopInTime(world, life))
  const stopped = yield* Effect.raceFirst(Effect.as(proxy.stopped, true), Effect.as(Deferred.await(lost), false))
  yield* Effect.sync(() => stopping.interruptUnsafe())
  journal.note({ _tag: "Process", what: stopped ? "stopped" : "lost" })
  if (!stopped) world.disk.crash()
  world.life = undefined
  // Whoever still waits for this process is told that there will be no answer.
  Deferred.doneUnsafe(lost, Effect.void)
  yield* Scope.close(scope, Exit.void)
  return stopped
})

const stopInTime = Effect.fnUntraced(function* ({ journal, plan }: World, { proxy }: Life) {
  const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
  yield* Effect.sleep(Math.max(0, plan.shutdownAtMs - now))
  journal.note({ _tag: "Process", what: "told_to_stop" })
  proxy.terminate()
})

/** What a process that is lost does while it is taken down, nobody hears of. */
const layerEdge = (world: World, current: { readonly life: Life | undefined }, replacement: Replacement) => {
  const { disk, files, journal, plan } = world
  const isHeard = () => current.life === undefined || current.life === world.life
  const listening = Layer.effect(
    RateLimiter,
    Effect.map(RateLimiter, (limiter) => ({
      ...limiter,
      admit: (ip) =>
        Effect.tap(limiter.admit(ip), (admitted) =>
          Effect.sync(() => isHeard() && journal.note({ _tag: "Limiter", source: ip.text, admitted }))
        )
    }))
  )
  return SimProxy.layer({
    disk,
    files,
    settings: plan.settings,
    socketsMax: plan.socketsMax,
    shutdownTimeoutMs: plan.shutdownTimeoutMs,
    rateLimit: plan.rateLimit,
    countries: plan.site.countries,
    onConnection: (entry) => isHeard() && journal.note({ _tag: "Concluded", proxy: "edge", entry }),
    onRequest: (entry) => isHeard() && journal.note({ _tag: "RequestLogged", entry }),
    onLog: (line) => isHeard() && journal.note({ _tag: "Said", line }),
    replace: Layer.provideMerge(listening, replacement)
  })
}
