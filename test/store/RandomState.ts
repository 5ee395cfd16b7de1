/** Random right states, as config files have them, and random changes among few names, so that they meet. */
import { Result } from "effect"
import * as fc from "fast-check"
import type { Change, Edit, State } from "../../src/snapshot/Change.ts"
import { parseHostname, type Hostname } from "../../src/snapshot/Hostname.ts"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import type { L7Policy, Listener, Route } from "../../src/snapshot/Snapshot.ts"
import { randomConfig } from "../config/RandomConfig.ts"

/** Any state that a config file may hold. */
export const randomState: fc.Arbitrary<State> = randomConfig.map(({ config }) => ({
  listeners: config.listeners.map((listener) => ({ ...listener, routes: listener.routes.map(withDistinctPolicies) })),
  firewallRules: config.firewall.rules
}))

/** A config keeps policies once that differ only in case. */
const withDistinctPolicies = (route: Route): Route =>
  route.mode === "l4" ? route : { ...route, l7Policies: distinct(route.l7Policies) }

const distinct = (policies: ReadonlyArray<L7Policy>): ReadonlyArray<L7Policy> => [
  ...new Map(policies.map(({ type, value }) => [`${type} ${value.toLowerCase()}`, { type, value }])).values()
]

export const hostname = (name: string): Hostname => Result.getOrThrow(parseHostname(name))

export const l4 = (name: string, backend = "127.0.0.1:1"): Route => ({
  hostname: hostname(name),
  backend,
  mode: "l4",
  sendProxyProtocol: false
})

export const l7 = (name: string, l7Policies: ReadonlyArray<L7Policy> = []): Route => ({
  hostname: hostname(name),
  backend: "127.0.0.1:2",
  mode: "l7",
  sendProxyProtocol: true,
  tlsCert: "/certs/a.pem",
  tlsKey: "/certs/a.key",
  backendProtocol: "http/1.1",
  backendTls: false,
  backendCa: "",
  backendServerName: "",
  l7Policies
})

export const listenerOf = (addr: string, ...routes: ReadonlyArray<Route>): Listener => ({
  addr,
  proxyProtocol: false,
  trustedProxies: [],
  maxConnections: 0,
  routes
})

const addr = fc.constantFrom(":443", "127.0.0.1:443", "[::1]:8443")

const name = fc.constantFrom("a.test", "b.test", "c.test")

const policies = fc.subarray<L7Policy>([
  { type: "block_user_agent", value: "Bad Bot" },
  { type: "require_header", value: "x-key" },
  { type: "block_user_agent", value: "x-key" }
])

const route = fc.oneof(
  fc.tuple(name, fc.constantFrom("127.0.0.1:1", "b.test:2", "[::1]:3")).map(([name, backend]) => l4(name, backend)),
  fc
    .tuple(name, policies, fc.boolean())
    .map(([name, policies, reverse]) => l7(name, reverse ? policies.toReversed() : policies))
)

const rules = fc.subarray<FirewallRule>([
  { type: "ip", value: "192.0.2.1" },
  { type: "ip", value: "2001:db8::1" },
  { type: "cidr", value: "10.0.0.0/8" },
  { type: "cidr", value: "2001:db8::/32" },
  { type: "country", value: "DE" }
])

const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc
    .tuple(addr, fc.boolean(), fc.nat({ max: 9 }), fc.subarray(["192.0.2.7", "10.0.0.0/8"]))
    .map(([addr, proxyProtocol, maxConnections, trustedProxies]): Edit => ({
      _tag: "PutListener",
      listener: { addr, proxyProtocol, maxConnections, trustedProxies }
    })),
  addr.map((addr): Edit => ({ _tag: "RemoveListener", addr })),
  fc.tuple(addr, route).map(([listener, route]): Edit => ({ _tag: "PutRoute", listener, route })),
  fc.tuple(addr, name).map(([listener, name]): Edit => ({ _tag: "RemoveRoute", listener, hostname: hostname(name) })),
  rules.map((rules): Edit => ({ _tag: "PutRules", rules })),
  rules.map((rules): Edit => ({ _tag: "RemoveRules", rules }))
)

/** Changes of which some are refused: a route on a listener that is not there. */
export const randomChange: fc.Arbitrary<Change> = fc.array(edit, { maxLength: 5 })
