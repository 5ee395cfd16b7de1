/** The whole proxy in one thread, its network, store and clock simulated: both planes, as they run beside each other. */
import { Effect, Layer } from "effect"
import * as McProxy from "../../src/index.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { SimNetwork } from "../../src/net/sim/SimNetwork.ts"
import { SimStore } from "../../src/store/SimStore.ts"
import { l4, listenerOf } from "../store/RandomState.ts"
import type { Scenario } from "./Scenario.ts"

export const LISTENER = ":443"
export const PROXY = { ip: parseIpAddress("10.0.0.1")!, port: 443 }
export const BACKEND = { ip: parseIpAddress("10.0.0.2")!, port: 8443 }

/** What the scenario's disk is, before anything has happened. */
export const diskOf = ({ faults }: Scenario): SimStore =>
  new SimStore({ listeners: [listenerOf(LISTENER, ROUTE)], firewallRules: [] }, ({ number }) => faults.get(number))

/** There from the start. */
export const ROUTE = l4("a.test", "10.0.0.2:8443")

export const layerNetwork = ({ latencyMsMax, seed, segmentBytesMax }: Scenario) =>
  SimNetwork.layer({
    seed,
    ips: [PROXY.ip],
    link: { latencyMs: { min: 0, max: latencyMsMax }, segmentBytes: { min: 1, max: segmentBytesMax } }
  })

/** On the scenario's network; `entries` gets the access log. */
export const layerProxy = (disk: SimStore, entries: Array<McProxy.ConnectionEntry>) => {
  const pipeline = Layer.mergeAll(
    McProxy.ConnectionQuota.layer,
    McProxy.Counters.layer,
    McProxy.DescriptorBudget.layer(1000),
    McProxy.Dialer.layer,
    McProxy.GeoIp.layerTable(new Map()),
    McProxy.RateLimiter.layer({ limit: 0, windowMs: 60_000 }),
    Layer.succeed(McProxy.AccessLog, {
      enabled: true,
      connection: (entry) => void entries.push(entry),
      request: () => {}
    }),
    Layer.succeed(McProxy.Settings, {
      helloTimeoutMs: 10_000,
      helloBytesMax: 65_536,
      connectTimeoutMs: 5000,
      handshakeTimeoutMs: 10_000,
      headerTimeoutMs: 30_000,
      responseTimeoutMs: 300_000,
      idleTimeoutMs: 60_000,
      halfCloseTimeoutMs: 30_000
    })
  )
  return McProxy.ControlPlane.layer.pipe(
    Layer.provide(
      Layer.effect(
        McProxy.Store,
        Effect.sync(() => disk.open())
      )
    ),
    Layer.provideMerge(McProxy.Drain.layer),
    Layer.provideMerge(McProxy.LocalFollower.layer),
    Layer.provideMerge(McProxy.DataPlane.layer),
    Layer.provideMerge(McProxy.Connections.layer),
    Layer.provideMerge(pipeline),
    Layer.provide(layerLog)
  )
}

/** The scenario's checks say what went wrong. */
const layerLog = McProxy.Log.layer({ level: "error", format: "text" }).pipe(
  Layer.provide(McProxy.LogSink.layerMemory([]))
)
