/** The state that the benches of the control plane run on, as large as their limits say. */
import { Result } from "effect"
import type { State } from "../src/snapshot/Change.ts"
import type { FirewallRule } from "../src/snapshot/FirewallRule.ts"
import { parseHostname } from "../src/snapshot/Hostname.ts"
import type { Route } from "../src/snapshot/Snapshot.ts"

export const ROUTES = 10_000
export const RULES = 100_000

/** Rules that no other call with another `network`, 0 to 255, makes. */
export const rules = (network: number, count: number): ReadonlyArray<FirewallRule> =>
  Array.from({ length: count }, (_, i) => ({ type: "ip", value: addressOf(((network << 24) | i) >>> 0) }))

const addressOf = (word: number): string => `${word >>> 24}.${(word >> 16) & 255}.${(word >> 8) & 255}.${word & 255}`

const routeTo = (hostname: string, backend: string): Route => ({
  hostname: Result.getOrThrow(parseHostname(hostname)),
  backend,
  mode: "l4",
  sendProxyProtocol: false
})

/** The one route that leads somewhere. */
export const PROBE_HOSTNAME = "probe.example.test"

/** One listener, with a route to `backend` and `ROUTES` that lead nowhere, and the rules of network 10. */
export const manyRules = (addr: string, backend: string): State => ({
  listeners: [
    {
      addr,
      proxyProtocol: false,
      trustedProxies: [],
      maxConnections: 0,
      routes: [
        routeTo(PROBE_HOSTNAME, backend),
        ...Array.from({ length: ROUTES }, (_, i) => routeTo(`host-${i}.example.test`, "127.0.0.1:1"))
      ]
    }
  ],
  firewallRules: rules(10, RULES)
})
