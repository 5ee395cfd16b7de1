/**
 * What the control plane publishes and a data plane follows: plain, serialisable, immutable values in canonical form.
 *
 * Whoever makes one (the config file, later the store) has validated it; whoever receives one may rely on that.
 */
import type { FirewallRule } from "./FirewallRule.ts"
import type { Hostname } from "./Hostname.ts"

/** The whole of what may change at run time. `revision` grows by one with each change. */
export interface Snapshot {
  readonly revision: number
  readonly listeners: ReadonlyArray<Listener>
  readonly firewallRules: ReadonlyArray<FirewallRule>
}

export interface Listener {
  /** Canonical `":port"`, `"ip:port"` or `"[ip6]:port"`; the listener's name everywhere. */
  readonly addr: string
  /** Every connection must start with a PROXY protocol header. */
  readonly proxyProtocol: boolean
  /** Canonical IPs and CIDRs that may send one; empty: anyone. */
  readonly trustedProxies: ReadonlyArray<string>
  /** 0: no limit. */
  readonly maxConnections: number
  readonly routes: ReadonlyArray<Route>
}

export type Route = L4Route | L7Route

/** Relays the raw TCP stream. */
export interface L4Route extends RouteBase {
  readonly mode: "l4"
}

/** Terminates TLS and reverse-proxies HTTP. Paths are absolute. */
export interface L7Route extends RouteBase {
  readonly mode: "l7"
  readonly tlsCert: string
  readonly tlsKey: string
  readonly backendProtocol: "h2" | "http/1.1"
  readonly backendTls: boolean
  /** Empty: the system's roots. */
  readonly backendCa: string
  /** Empty: the backend's host. */
  readonly backendServerName: string
  readonly l7Policies: ReadonlyArray<L7Policy>
}

interface RouteBase {
  readonly hostname: Hostname
  /** Canonical `host:port`. */
  readonly backend: string
  /** The backend's connection starts with a PROXY protocol v2 header. */
  readonly sendProxyProtocol: boolean
}

export interface L7Policy {
  readonly type: "block_user_agent" | "require_header"
  readonly value: string
}
