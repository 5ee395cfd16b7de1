/**
 * What a data plane decides by: a snapshot, compiled. Immutable; a connection takes the one of its accept and keeps
 * only its route once that is found.
 */
import { Result } from "effect"
import { Firewall } from "../firewall/Firewall.ts"
import { PrefixTrie } from "../firewall/PrefixTrie.ts"
import type { Counters, ListenerCounters } from "../observe/Counters.ts"
import { compileRoutes, type RouteTable } from "../routing/RouteTable.ts"
import { parseIpOrCidr } from "../snapshot/FirewallRule.ts"
import type { Listener, Snapshot } from "../snapshot/Snapshot.ts"

export interface ProxyState {
  readonly revision: number
  readonly firewall: Firewall
  /** By `addr`. */
  readonly listeners: ReadonlyMap<string, ListenerState>
}

export interface ListenerState {
  readonly listener: Listener
  /** Who may send a PROXY header; empty: anyone. */
  readonly trusted: PrefixTrie<true>
  readonly routes: RouteTable
  readonly counters: ListenerCounters
}

export const compile = (snapshot: Snapshot, counters: Counters["Service"]): ProxyState => ({
  revision: snapshot.revision,
  firewall: Firewall.compile(snapshot.firewallRules),
  listeners: new Map(
    snapshot.listeners.map((listener) => [
      listener.addr,
      {
        listener,
        trusted: PrefixTrie.from(
          listener.trustedProxies.map((text) => [Result.getOrThrow(parseIpOrCidr(text)), true] as const)
        ),
        routes: compileRoutes(listener.routes, counters),
        counters: counters.listener(listener.addr)
      }
    ])
  )
})
