/** The data plane of this thread, as the control plane sees it. */
import { Clock, Effect, Layer, Stream } from "effect"
import { BindFailed, Follower } from "../control/Follower.ts"
import type { GeoIp } from "../firewall/GeoIp.ts"
import type { RateLimiter } from "../firewall/RateLimiter.ts"
import { explain } from "../pipeline/Explain.ts"
import { Connections } from "./Connections.ts"
import { DataPlane } from "./DataPlane.ts"
import { Certificates } from "../tls/Certificates.ts"
import { reload } from "./Reload.ts"

export const layer: Layer.Layer<Follower, never, DataPlane | Connections | Certificates | GeoIp | RateLimiter> =
  Layer.effect(
    Follower,
    Effect.suspend(() => make)
  )

const make = Effect.gen(function* () {
  const plane = yield* DataPlane
  const connections = yield* Connections
  const certificates = yield* Certificates
  const services = yield* Effect.context<Certificates | GeoIp | RateLimiter>()
  const startedAt = yield* Clock.currentTimeMillis

  return Follower.of({
    bind: (addrs) => Effect.mapError(plane.bind(addrs), ({ message }) => new BindFailed({ message })),
    unbind: plane.unbind,
    publish: (revision, change) => plane.publish(revision, change),
    status: Effect.sync(() => ({
      startedAt,
      connectionsTotal: connections.openedTotal,
      connectionsActive: connections.size,
      activeByListener: Object.fromEntries(
        [...plane.state.listeners].map(([addr, { counters }]) => [addr, counters.active])
      ),
      draining: !plane.accepting,
      certificateProblems: certificates.failing(PROBLEMS_MAX).map(({ certPath, context, keyPath, problem = "" }) => ({
        tlsCert: certPath,
        tlsKey: keyPath,
        problem,
        served: context !== undefined
      }))
    })),
    connections: (filter) => connections.list(filter),
    events: Stream.unwrap(Effect.map(connections.watch, ({ take }) => Stream.fromPull(Effect.succeed(take)))),
    close: (id) =>
      Effect.sync(() => {
        const live = connections.get(id)
        live?.end("closed_by_admin")
        return live !== undefined
      }),
    explain: (question) =>
      Effect.provideContext(
        Effect.suspend(() => explain(question, plane.state)),
        services
      ),
    reload: Effect.provideContext(reload, services)
  })
})

/** Some hundred kilobytes; who has more certificates that do not load has one reason for all of them. */
const PROBLEMS_MAX = 1000
