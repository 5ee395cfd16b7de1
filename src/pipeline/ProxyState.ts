/**
 * What a data plane decides by: the state, compiled. Immutable; a connection takes the one of its accept and keeps only
 * its route once that is found.
 */
import { Effect, HashMap, Option, Result } from "effect"
import { Firewall, type FirewallDraft } from "../firewall/Firewall.ts"
import { PrefixTrie } from "../firewall/PrefixTrie.ts"
import type { ListenerCounters } from "../observe/Counters.ts"
import type { VirtualHost } from "../l7/VirtualHost.ts"
import {
  compileRoute,
  differInPoliciesAlone,
  isL7,
  releaseRoute,
  retireRoute,
  type CompiledRoute,
  type RouteResources,
  type RouteTable
} from "../routing/RouteTable.ts"
import type { Edit, ListenerSettings } from "../snapshot/Change.ts"
import { parseIpOrCidr } from "../snapshot/FirewallRule.ts"
import type { Hostname } from "../snapshot/Hostname.ts"
import type { L7Policy, Route } from "../snapshot/Snapshot.ts"

export interface ProxyState {
  readonly revision: number
  readonly firewall: Firewall
  /** By `addr`. */
  readonly listeners: ReadonlyMap<string, ListenerState>
}

export interface ListenerState {
  readonly listener: ListenerSettings
  /** Who may send a PROXY header; empty: anyone. */
  readonly trusted: PrefixTrie
  readonly routes: RouteTable
  readonly counters: ListenerCounters
}

/** Before the first revision. Nobody is connected under it. */
export const NOTHING: ProxyState = { revision: 0, firewall: Firewall.empty, listeners: new Map() }

/** A state that is ready to be put in force. */
export interface Applied {
  readonly state: ProxyState
  /**
   * To be done as soon as it is in force: ends the series that only the state before has, tells the L7 connections of
   * routes that have gone to finish, and puts policies in force for the connections that are there.
   */
  readonly settle: () => void
}

/**
 * `state` after `change`, which must be right for it and is read once. Connections are served meanwhile: a long change is
 * applied a slice at a time, and nothing of it shows before the whole is there.
 */
export const apply = Effect.fnUntraced(function* (
  state: ProxyState,
  revision: number,
  change: Iterable<Edit>,
  resources: RouteResources
): Effect.fn.Return<Applied> {
  const draft = new Draft(state, resources)
  let work = 0
  for (const done of draft.applyAll(change)) {
    work += done
    if (work < WORK_A_SLICE) continue
    work = 0
    yield* state === NOTHING ? Effect.yieldNow : Effect.sleep(PAUSE)
  }
  yield* resources.certificates.load
  return { state: { revision, ...draft.finish() }, settle: draft.settle }
})

/** One is a rule added to a hundred thousand others, which takes a microsecond; a slice, half a millisecond. */
const WORK_A_SLICE = 500

/**
 * After each slice connections have the thread to themselves: one takes several turns of the loop, and waited for a slice
 * in each. Costs an import of a hundred thousand rules half a second.
 */
const PAUSE = "2 millis"

/** So many routes are let go in the time of one rule. */
const ROUTES_A_RULE = 50

/** So many nodes of the firewall are moved in the time of one rule. */
const NODES_A_RULE = 10

/** The next state while it is made. What the state before has is copied where it is written to, and not before. */
class Draft {
  listeners: ReadonlyMap<string, ListenerState>
  readonly #before: ProxyState
  readonly #resources: RouteResources
  #firewall: FirewallDraft | undefined
  #written: Map<string, ListenerState> | undefined
  /** The tables that are this draft's own, and written to in place. */
  readonly #tables = new Map<string, RouteTable>()
  readonly #removed = new Set<string>()
  /** No longer there, or replaced. */
  readonly #gone: Array<CompiledRoute> = []
  readonly #policies: Array<readonly [VirtualHost, ReadonlyArray<L7Policy>]> = []

  constructor(before: ProxyState, resources: RouteResources) {
    this.#before = before
    this.listeners = before.listeners
    this.#resources = resources
  }

  /** Applies piece by piece, and tells of each how much work it was. */
  *applyAll(change: Iterable<Edit>): Generator<number> {
    for (const edit of change) {
      if (isRules(edit)) yield* this.#applyRules(edit)
      else yield this.#apply(edit)
    }
  }

  /** What was written to is written to no more. */
  finish(): Pick<ProxyState, "firewall" | "listeners"> {
    for (const table of this.#tables.values()) HashMap.endMutation(table)
    return { firewall: this.#firewall?.finish() ?? this.#before.firewall, listeners: this.listeners }
  }

  readonly settle = (): void => {
    for (const route of this.#gone) {
      releaseRoute(route, this.#resources)
      retireRoute(route)
    }
    for (const [host, policies] of this.#policies) host.putPolicies(policies)
    for (const addr of this.#removed) if (!this.listeners.has(addr)) this.#resources.counters.forgetListener(addr)
  };

  *#applyRules({ _tag, rules }: RulesEdit): Generator<number> {
    const firewall = (this.#firewall ??= yield* this.#draftFirewall())
    let applied = 0
    for (const rule of rules) {
      if (_tag === "PutRules") firewall.add(rule)
      else firewall.remove(rule)
      if (++applied % WORK_A_SLICE === 0) yield WORK_A_SLICE
    }
    yield applied % WORK_A_SLICE
  }

  *#draftFirewall(): Generator<number, FirewallDraft> {
    const { firewall } = this.#before
    for (const nodes of firewall.move()) yield nodes / NODES_A_RULE
    return firewall.draft()
  }

  #apply(edit: Exclude<Edit, RulesEdit>): number {
    switch (edit._tag) {
      case "PutListener":
        return this.#putListener(edit.listener)
      case "RemoveListener":
        return this.#removeListener(edit.addr)
      case "PutRoute":
        return this.#putRoute(edit.listener, edit.route)
      case "RemoveRoute":
        return this.#removeRoute(edit.listener, edit.hostname)
    }
  }

  #putListener(listener: ListenerSettings): number {
    const { addr, trustedProxies } = listener
    const trusted = trustedProxies.map((text) => Result.getOrThrow(parseIpOrCidr(text)))
    this.#write(addr, {
      listener,
      trusted: PrefixTrie.empty.add(trusted),
      routes: this.listeners.get(addr)?.routes ?? HashMap.empty(),
      counters: this.#resources.counters.listener(addr)
    })
    return 1 + trusted.length
  }

  #removeListener(addr: string): number {
    const listener = this.listeners.get(addr)
    if (listener === undefined) return 1
    for (const route of HashMap.values(listener.routes)) this.#gone.push(route)
    this.#ownListeners().delete(addr)
    this.#tables.delete(addr)
    this.#removed.add(addr)
    return 1 + HashMap.size(listener.routes) / ROUTES_A_RULE
  }

  #putRoute(addr: string, route: Route): number {
    const listener = this.listeners.get(addr)
    if (listener === undefined) throw new Error(`A route was published for ${addr}, which is no listener.`)
    const replaced = Option.getOrUndefined(HashMap.get(listener.routes, route.hostname))
    const kept = replaced === undefined ? undefined : this.#withPolicies(replaced, route)
    if (kept === undefined && replaced !== undefined) this.#gone.push(replaced)
    HashMap.set(this.#ownTable(listener), route.hostname, kept ?? compileRoute(route, this.#resources))
    return 1
  }

  #removeRoute(addr: string, hostname: Hostname): number {
    const listener = this.listeners.get(addr)
    if (listener === undefined) return 1
    const removed = HashMap.get(listener.routes, hostname)
    if (Option.isNone(removed)) return 1
    this.#gone.push(removed.value)
    HashMap.remove(this.#ownTable(listener), hostname)
    return 1
  }

  /** The same route with other policies, where nothing else of it is different. */
  #withPolicies(known: CompiledRoute, route: Route): CompiledRoute | undefined {
    if (!isL7(known) || route.mode !== "l7" || !differInPoliciesAlone(known.route, route)) return undefined
    this.#policies.push([known.host, route.l7Policies])
    return { ...known, route }
  }

  /** A table to write to, in the place of the listener's. */
  #ownTable(listener: ListenerState): RouteTable {
    const { addr } = listener.listener
    const known = this.#tables.get(addr)
    if (known !== undefined) return known
    const own = HashMap.beginMutation(listener.routes)
    this.#tables.set(addr, own)
    this.#write(addr, { ...listener, routes: own })
    return own
  }

  #write(addr: string, listener: ListenerState): void {
    this.#ownListeners().set(addr, listener)
  }

  #ownListeners(): Map<string, ListenerState> {
    this.listeners = this.#written ??= new Map(this.listeners)
    return this.#written
  }
}

type RulesEdit = Extract<Edit, { readonly rules: unknown }>

const isRules = (edit: Edit): edit is RulesEdit => edit._tag === "PutRules" || edit._tag === "RemoveRules"
