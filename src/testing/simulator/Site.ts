/**
 * Where a simulation takes place: proxies, their listeners and routes, the backends behind them, and who is known how.
 *
 * Clients reach the edge proxy. Some of its routes lead to a second proxy, which learns of the client by PROXY protocol,
 * and on to a backend.
 */
import type { SocketAddress } from "../../net/SocketAddress.ts"
import type { State } from "../../snapshot/Change.ts"
import type { FirewallRule } from "../../snapshot/FirewallRule.ts"
import type { Listener, Route } from "../../snapshot/Snapshot.ts"
import type { Draw } from "../Draw.ts"
import { hostname, ip } from "./Parsed.ts"
import { drawWebBackends, drawWebRoute, WEB_HOSTNAMES, type WebBackendPlan } from "./WebSite.ts"

/** How a backend treats those who come; the last four are never connected to. */
export const BACKEND_KINDS = [
  "echoing",
  "slow",
  "stalled",
  "resetting",
  "half_closing",
  "refusing",
  "unreachable",
  "hanging",
  "nameless",
  "unresolving"
] as const
export type BackendKind = (typeof BACKEND_KINDS)[number]

export interface BackendPlan {
  readonly kind: BackendKind
  /** As a route names it. */
  readonly name: string
  readonly address: SocketAddress
  /** Of a resetting one: how many bytes it reads before. Of a half-closing one: how many it sends. */
  readonly bytes: number
}

export interface Site {
  readonly edge: State
  readonly inner: State
  readonly backends: ReadonlyArray<BackendPlan>
  readonly webBackends: ReadonlyArray<WebBackendPlan>
  /** By canonical address. */
  readonly countries: ReadonlyMap<string, string>
}

export const EDGE_IPS = [ip("10.0.0.1"), ip("fd00::1")]
export const INNER_IP = ip("10.0.0.2")
/** As the edge's routes name it. */
export const INNER = "10.0.0.2:9443"

export const PLAIN = ":443"
export const PROXIED = ":444"
export const LIMITED = ":445"
/** Is there only while somebody has added it. */
export const ADDED = ":446"
export const LISTENERS = [PLAIN, PROXIED, LIMITED, ADDED] as const

/** Load balancers: one is trusted. */
export const TRUSTED_PEER = ip("10.9.0.1")
export const STRANGE_PEER = ip("10.8.0.1")

export const HOSTNAMES = Array.from({ length: 12 }, (_, i) => `h${i}.test`)
/** The last of them lead to the second proxy. */
const INNER_HOSTNAMES = 3
export const UNKNOWN_HOSTNAME = "unknown.test"

export const CLIENT_IPS = [
  ...Array.from({ length: 8 }, (_, i) => `192.0.2.${i + 1}`),
  ...Array.from({ length: 3 }, (_, i) => `198.51.100.${i + 1}`),
  ...Array.from({ length: 3 }, (_, i) => `203.0.113.${i + 1}`),
  "2001:db8::1",
  "2001:db8:0:1::1"
]
const COUNTRIES = new Map([
  ["203.0.113.1", "SE"],
  ["203.0.113.2", "SE"],
  ["192.0.2.8", "DE"]
])

/** Rules that come and go by themselves. */
export const RULES: ReadonlyArray<FirewallRule> = [
  { type: "ip", value: "192.0.2.1" },
  { type: "ip", value: "192.0.2.2" },
  { type: "ip", value: "2001:db8::1" },
  { type: "cidr", value: "198.51.100.0/24" },
  { type: "cidr", value: "198.51.100.2/31" },
  { type: "cidr", value: "2001:db8:0:1::/64" },
  { type: "country", value: "SE" },
  { type: "country", value: "DE" }
]
/** Rules that come and go together, so that half a change shows. */
export const PAIRED_RULES: ReadonlyArray<FirewallRule> = [
  { type: "ip", value: "192.0.2.3" },
  { type: "cidr", value: "192.0.2.4/32" }
]

export const drawSite = (draw: Draw): Site => {
  const backends = draw.times(HOSTNAMES.length, (i) => drawBackend(draw, i))
  const webBackends = drawWebBackends(draw)
  return {
    edge: drawEdge(draw, backends, webBackends),
    inner: {
      listeners: [
        listener(
          INNER,
          { proxyProtocol: true, trustedProxies: ["10.0.0.1"] },
          HOSTNAMES.slice(-INNER_HOSTNAMES).map((name, i) =>
            routeTo(name, backends[HOSTNAMES.length - INNER_HOSTNAMES + i]!.name, draw.chance(50))
          )
        )
      ],
      firewallRules: []
    },
    backends,
    webBackends,
    countries: COUNTRIES
  }
}

const drawEdge = (
  draw: Draw,
  backends: ReadonlyArray<BackendPlan>,
  webBackends: ReadonlyArray<WebBackendPlan>
): State => {
  const drawRoutes = (): ReadonlyArray<Route> => [
    ...HOSTNAMES.map((name, i) => routeTo(name, backendName(backends, i), draw.chance(30))),
    ...WEB_HOSTNAMES.map((name) => drawWebRoute(draw, name, webBackends))
  ]
  const rules = RULES.filter(() => draw.chance(30))
  return {
    listeners: [
      listener(PLAIN, {}, drawRoutes()),
      listener(PROXIED, { proxyProtocol: true, trustedProxies: ["10.9.0.0/16"] }, drawRoutes()),
      listener(LIMITED, { maxConnections: draw.integer(1, 3) }, drawRoutes())
    ],
    firewallRules: draw.chance(50) ? [...rules, ...PAIRED_RULES] : rules
  }
}

/** Where the edge's route for the hostname of that number leads. */
const backendName = (backends: ReadonlyArray<BackendPlan>, index: number): string =>
  index >= HOSTNAMES.length - INNER_HOSTNAMES ? INNER : backends[index]!.name

const drawBackend = (draw: Draw, index: number): BackendPlan => {
  // One of each at least, so that every seed meets all of them.
  const kind = BACKEND_KINDS[index] ?? draw.pick(["echoing", "slow", "half_closing"] as const)
  const address = { ip: ip(`10.1.0.${index + 1}`), port: 8443 }
  const named = kind === "nameless" || kind === "unresolving" || draw.chance(20)
  const name = named ? `backend-${index}.test:8443` : `${address.ip.text}:8443`
  return { kind, name, address, bytes: draw.integer(0, 2000) }
}

export const routeTo = (name: string, backend: string, sendProxyProtocol: boolean): Route => ({
  mode: "l4",
  hostname: hostname(name),
  backend,
  sendProxyProtocol: sendProxyProtocol || backend === INNER
})

const listener = (
  addr: string,
  settings: Partial<Omit<Listener, "routes">>,
  routes: ReadonlyArray<Route>
): Listener => ({ proxyProtocol: false, trustedProxies: [], maxConnections: 0, ...settings, addr, routes })
