/**
 * What may be done to the state, as plain values: an import, a mutation of the admin API, and what a store commits.
 *
 * A change is applied as a whole or not at all. `apply` is what every store has to equal: an item that is put again
 * keeps its place, a new one comes last, and to remove what is not there changes nothing.
 */
import { isDeepStrictEqual } from "node:util"
import { Result } from "effect"
import type { FirewallRule } from "./FirewallRule.ts"
import type { Hostname } from "./Hostname.ts"
import type { Listener, Route, Snapshot } from "./Snapshot.ts"

/** The state without the number of its revision. */
export type State = Omit<Snapshot, "revision">

/** A listener without its routes. */
export type ListenerSettings = Omit<Listener, "routes">

/** Edits in the order of their doing. */
export type Change = ReadonlyArray<Edit>

export type Edit =
  /** A new listener, or other settings for one; its routes stay. */
  | { readonly _tag: "PutListener"; readonly listener: ListenerSettings }
  /** With its routes. */
  | { readonly _tag: "RemoveListener"; readonly addr: string }
  /** A new route, or another in the place of the one for its hostname, policies included. */
  | { readonly _tag: "PutRoute"; readonly listener: string; readonly route: Route }
  | { readonly _tag: "RemoveRoute"; readonly listener: string; readonly hostname: Hostname }
  | { readonly _tag: "PutRules"; readonly rules: ReadonlyArray<FirewallRule> }
  | { readonly _tag: "RemoveRules"; readonly rules: ReadonlyArray<FirewallRule> }

export const EMPTY: State = { listeners: [], firewallRules: [] }

/** The state after `change`; fails with a sentence when a route is put on a listener that is not there. */
export const apply = (state: State, change: Change): Result.Result<State, string> => {
  const listeners = new Map(state.listeners.map((listener) => [listener.addr, listener]))
  const rules = new Map(state.firewallRules.map((rule) => [ruleKey(rule), rule]))
  for (const edit of change) {
    switch (edit._tag) {
      case "PutListener":
        listeners.set(edit.listener.addr, { ...edit.listener, routes: listeners.get(edit.listener.addr)?.routes ?? [] })
        break
      case "RemoveListener":
        listeners.delete(edit.addr)
        break
      case "PutRoute": {
        const listener = listeners.get(edit.listener)
        if (listener === undefined) return Result.fail(`there is no listener ${edit.listener}`)
        listeners.set(edit.listener, { ...listener, routes: putRoute(listener.routes, edit.route) })
        break
      }
      case "RemoveRoute": {
        const listener = listeners.get(edit.listener)
        if (listener === undefined) break
        const routes = listener.routes.filter(({ hostname }) => hostname !== edit.hostname)
        listeners.set(edit.listener, { ...listener, routes })
        break
      }
      case "PutRules":
        for (const rule of edit.rules) rules.set(ruleKey(rule), rule)
        break
      case "RemoveRules":
        for (const rule of edit.rules) rules.delete(ruleKey(rule))
    }
  }
  return Result.succeed({ listeners: [...listeners.values()], firewallRules: [...rules.values()] })
}

/** What `changes` do one after the other, with as few edits of rules as it takes: one costs about as much as many. */
export const join = (changes: ReadonlyArray<Change>): Change => {
  const edits: Array<Edit> = []
  let rules: Array<FirewallRule> = []
  for (const edit of changes.flat()) {
    if (edit._tag !== "PutRules" && edit._tag !== "RemoveRules") {
      edits.push(edit)
    } else if (edits.at(-1)?._tag === edit._tag) {
      for (const rule of edit.rules) rules.push(rule)
    } else {
      rules = [...edit.rules]
      edits.push({ _tag: edit._tag, rules })
    }
  }
  return edits
}

/** What makes `to` of `from`, but for the order of what both have. */
export const diff = (from: State, to: State): Change => {
  const before = new Map(from.listeners.map((listener) => [listener.addr, listener]))
  const after = new Set(to.listeners.map(({ addr }) => addr))
  const removed = from.listeners.filter(({ addr }) => !after.has(addr))
  return [
    ...removed.map(({ addr }): Edit => ({ _tag: "RemoveListener", addr })),
    ...to.listeners.flatMap((listener) => diffListener(before.get(listener.addr), listener)),
    ...diffRules(from.firewallRules, to.firewallRules)
  ]
}

const diffListener = (from: Listener | undefined, { routes, ...listener }: Listener): Change => {
  const edits: Array<Edit> = []
  const { routes: known = [], ...settings } = from ?? {}
  if (from === undefined || !isDeepStrictEqual(settings, listener)) edits.push({ _tag: "PutListener", listener })
  const before = new Map(known.map((route) => [route.hostname, route]))
  const after = new Set(routes.map(({ hostname }) => hostname))
  for (const { hostname } of known) {
    if (!after.has(hostname)) edits.push({ _tag: "RemoveRoute", listener: listener.addr, hostname })
  }
  for (const route of routes) {
    if (!isDeepStrictEqual(before.get(route.hostname), route))
      edits.push({ _tag: "PutRoute", listener: listener.addr, route })
  }
  return edits
}

const diffRules = (from: ReadonlyArray<FirewallRule>, to: ReadonlyArray<FirewallRule>): Change => {
  const [removed, added] = [without(from, to), without(to, from)]
  const edits: Array<Edit> = []
  if (removed.length > 0) edits.push({ _tag: "RemoveRules", rules: removed })
  if (added.length > 0) edits.push({ _tag: "PutRules", rules: added })
  return edits
}

/** The rules that are not among `others`. */
const without = (rules: ReadonlyArray<FirewallRule>, others: ReadonlyArray<FirewallRule>) => {
  const known = new Set(others.map(ruleKey))
  return rules.filter((rule) => !known.has(ruleKey(rule)))
}

const putRoute = (routes: ReadonlyArray<Route>, route: Route): ReadonlyArray<Route> =>
  routes.some(({ hostname }) => hostname === route.hostname)
    ? routes.map((other) => (other.hostname === route.hostname ? route : other))
    : [...routes, route]

/** Tells a rule from every other. */
export const ruleKey = ({ type, value }: FirewallRule): string => `${type} ${value}`
