/**
 * Everything the proxy tells a metrics collector, under the names of its contract.
 *
 * Nothing is counted here. A scrape copies what is counted per listener and the firewall's totals at one moment, so
 * that accepts equal active plus closed; what belongs to a backend is read when its lines are rendered. Labels hold what
 * the configuration says and never what a client sent, and a series ends with the listener or route it belongs to.
 */
import { Context, Effect, HashMap, Layer } from "effect"
import { GeoIp } from "../firewall/GeoIp.ts"
import { RateLimiter } from "../firewall/RateLimiter.ts"
import { DescriptorBudget } from "../net/DescriptorBudget.ts"
import type { Network } from "../net/Network.ts"
import { Counters, type ListenerCounters } from "../observe/Counters.ts"
import type { RequestCounters } from "../observe/RequestCounters.ts"
import { LogSink } from "../observe/LogSink.ts"
import { OUTCOMES } from "../pipeline/Outcome.ts"
import type { ProxyState } from "../pipeline/ProxyState.ts"
import { isL7 } from "../routing/RouteTable.ts"
import { Connections } from "../server/Connections.ts"
import { DataPlane } from "../server/DataPlane.ts"
import { counter, gauge, histogram, render, type Metric, type Sample } from "./Exposition.ts"
import { LoopLag } from "./LoopLag.ts"
import { makeProcessMetrics } from "./ProcessNode.ts"

export class Metrics extends Context.Service<
  Metrics,
  {
    /** The page as it is now, in slices that are rendered as they are taken. */
    readonly scrape: Effect.Effect<Iterable<string>>
  }
>()("mc-proxy/metrics/Metrics") {
  static readonly layer = (version: string): Layer.Layer<Metrics, never, MetricsSources | Network> =>
    Layer.effect(Metrics, make(version)).pipe(Layer.provide(LoopLag.layer))
}

/** Where the numbers are. */
export type MetricsSources = Connections | Counters | DataPlane | DescriptorBudget | GeoIp | LogSink | RateLimiter

const make = Effect.fnUntraced(function* (version: string) {
  const connections = yield* Connections
  const counters = yield* Counters
  const sources = yield* Effect.context<MetricsSources | LoopLag>()
  const readProcess = yield* makeProcessMetrics
  const scrape = Effect.gen(function* () {
    const ofProcess = yield* readProcess
    const ofProxy = yield* proxyMetrics
    yield* connections.countBytes
    const listeners = [...counters.listeners].map(([addr, counted]) => readingOf(addr, counted))
    return render([
      gauge("mcproxy_build_info", "The running version; always 1.", [[{ version }, 1]]),
      ...(yield* configuredMetrics),
      ...connectionMetrics(listeners),
      ...firewallMetrics(counters),
      dialMetric(counters),
      ...requestMetrics(counters),
      ...ofProxy,
      ...ofProcess
    ])
  })
  return Metrics.of({ scrape: Effect.provideContext(scrape, sources) })
})

/** One listener at one moment. */
interface ListenerReading {
  readonly addr: string
  readonly total: number
  readonly active: number
  /** In the order of `OUTCOMES`. */
  readonly closed: ReadonlyArray<number>
  readonly bytesFromClient: number
  readonly bytesFromBackend: number
}

const readingOf = (addr: string, counted: ListenerCounters): ListenerReading => ({
  addr,
  total: counted.connectionsTotal,
  active: counted.active,
  closed: OUTCOMES.map((outcome) => counted.closed[outcome]),
  bytesFromClient: counted.bytesFromClient,
  bytesFromBackend: counted.bytesFromBackend
})

const configuredMetrics = Effect.gen(function* () {
  const { firewall, listeners } = (yield* DataPlane).state
  return [
    gauge(
      "mcproxy_routes",
      "Routes of a listener.",
      [...listeners].map(([listener, { routes }]): Sample => [{ listener }, HashMap.size(routes)])
    ),
    gauge(
      "mcproxy_firewall_rules",
      "Firewall rules by type.",
      Object.entries(firewall.counts).map(([type, count]): Sample => [{ type }, count])
    ),
    gauge(
      "mcproxy_certificate_not_after_timestamp_seconds",
      "When the certificate of an L7 route ends, in seconds since 1970; 0 where none is loaded.",
      certificateSamples(listeners)
    )
  ]
})

function* certificateSamples(listeners: ProxyState["listeners"]): Generator<Sample> {
  for (const [listener, { routes }] of listeners) {
    for (const compiled of HashMap.values(routes)) {
      if (!isL7(compiled)) continue
      const { notAfter = 0 } = compiled.certificate
      yield [{ listener, hostname: compiled.route.hostname }, notAfter / 1000]
    }
  }
}

const connectionMetrics = (listeners: ReadonlyArray<ListenerReading>): ReadonlyArray<Metric> => [
  counter(
    "mcproxy_connections_total",
    "Connections accepted; those that are active plus those that are closed.",
    listeners.map(({ addr, total }): Sample => [{ listener: addr }, total])
  ),
  gauge(
    "mcproxy_connections_active",
    "Connections that have not ended.",
    listeners.map(({ active, addr }): Sample => [{ listener: addr }, active])
  ),
  counter(
    "mcproxy_connections_closed_total",
    "Connections that have ended, by how.",
    listeners.flatMap(({ addr, closed }) =>
      OUTCOMES.map((outcome, i): Sample => [{ listener: addr, outcome }, closed[i]!])
    )
  ),
  counter(
    "mcproxy_transferred_bytes_total",
    "Bytes relayed, without PROXY headers, as the other side's kernel has accepted them.",
    listeners.flatMap(({ addr, bytesFromBackend, bytesFromClient }): ReadonlyArray<Sample> => [
      [{ listener: addr, direction: "from_client" }, bytesFromClient],
      [{ listener: addr, direction: "from_backend" }, bytesFromBackend]
    ])
  )
]

const firewallMetrics = (counters: Counters["Service"]): ReadonlyArray<Metric> => [
  counter(
    "mcproxy_firewall_blocked_total",
    "Connections that the firewall has blocked, by reason.",
    Object.entries(counters.firewallBlocked()).map(([reason, count]): Sample => [{ reason }, count])
  )
]

/** A backend that goes while the page is rendered is told of once more. */
const dialMetric = ({ backends }: Counters["Service"]): Metric =>
  histogram(
    "mcproxy_backend_dial_duration_seconds",
    "How long dials took that reached their backend, its name look-up included, in seconds.",
    [...backends].map(([backend, dials]) => [{ backend }, dials] as const)
  )

/** Of the hostnames that are served on L7. */
const requestMetrics = ({ hostnames: byName }: Counters["Service"]): ReadonlyArray<Metric> => {
  const hostnames = [...byName]
  return [
    counter("mcproxy_l7_responses_total", "Responses by the HTTP status that was sent.", samplesOf(hostnames, codesOf)),
    counter(
      "mcproxy_l7_policy_blocked_total",
      "Requests that a policy has blocked, by the policy's type.",
      samplesOf(hostnames, policiesOf)
    ),
    histogram(
      "mcproxy_l7_request_duration_seconds",
      "Time from a request's head to the end of its response, in seconds.",
      hostnames.map(([hostname, { durations }]) => [{ hostname }, durations] as const)
    )
  ]
}

/** A hostname's samples are made when its lines are: ten thousand of them would take long to make at once. */
function* samplesOf(
  hostnames: ReadonlyArray<readonly [string, RequestCounters]>,
  of: (hostname: string, counted: RequestCounters) => ReadonlyArray<Sample>
): Generator<Sample> {
  for (const [hostname, counted] of hostnames) yield* of(hostname, counted)
}

const codesOf = (hostname: string, { responses }: RequestCounters): ReadonlyArray<Sample> =>
  [...responses].map(([code, count]) => [{ hostname, code: `${code}` }, count])

const policiesOf = (hostname: string, { policyBlocked }: RequestCounters): ReadonlyArray<Sample> =>
  Object.entries(policyBlocked).map(([type, count]) => [{ hostname, type }, count])

/** Of the proxy as a whole. */
const proxyMetrics = Effect.gen(function* () {
  const budget = yield* DescriptorBudget
  const connections = yield* Connections
  const geoIp = yield* GeoIp
  const { late } = yield* LoopLag
  const sink = yield* LogSink
  const forgotten = yield* (yield* RateLimiter).forgotten
  const { builtAtSeconds } = geoIp
  return [
    gauge("mcproxy_sockets_open", "Sockets of listeners, clients and backends that are open.", [[{}, budget.open]]),
    gauge("mcproxy_sockets_max", "The most sockets that may be open; past it connections end as descriptors.", [
      [{}, budget.socketsMax]
    ]),
    counter("mcproxy_rate_limiter_forgotten_total", "Sources forgotten because too many were remembered.", [
      [{}, forgotten]
    ]),
    counter("mcproxy_geoip_lookup_failures_total", "Country look-ups that failed.", [[{}, geoIp.lookupFailures]]),
    gauge(
      "mcproxy_geoip_database_build_timestamp_seconds",
      "When the GeoIP database was built, in seconds since 1970; its age is time() less this.",
      builtAtSeconds === undefined ? [] : [[{}, builtAtSeconds]]
    ),
    counter("mcproxy_connection_events_dropped_total", "Events that watchers of connections were too slow for.", [
      [{}, connections.droppedEvents]
    ]),
    counter("mcproxy_log_dropped_total", "Log lines dropped because their reader was too slow.", [[{}, sink.dropped]]),
    histogram("mcproxy_event_loop_lag_seconds", "How late a timer of the main thread fires, in seconds.", [[{}, late]])
  ]
})
