/**
 * The state, indexed: look-ups and changes take time independent of how many routes and rules there are.
 *
 * Immutable, so that mutations that wait for one commit can be decided one on top of the other, and dropped together.
 * It equals `apply` on a plain state, the order of items included.
 */
import { HashMap, Option, Result } from "effect"
import { ruleKey, type Change, type ListenerSettings, type State } from "../snapshot/Change.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { L7Route, Route } from "../snapshot/Snapshot.ts"

export class StateIndex {
  static readonly empty = new StateIndex(new Map(), HashMap.empty(), 0)

  static of({ firewallRules, listeners }: State): StateIndex {
    const index = StateIndex.empty.apply([
      ...listeners.flatMap(({ routes, ...listener }): Change => [
        { _tag: "PutListener", listener },
        ...routes.map((route) => ({ _tag: "PutRoute", listener: listener.addr, route }) as const)
      ]),
      { _tag: "PutRules", rules: firewallRules }
    ])
    return Result.getOrThrow(index)
  }

  /** In the order of their adding, which a map keeps; there are few. */
  readonly #listeners: ReadonlyMap<string, ListenerEntry>
  readonly #rules: Ordered<FirewallRule>
  /** The place of the next new item. */
  readonly #next: number

  private constructor(listeners: ReadonlyMap<string, ListenerEntry>, rules: Ordered<FirewallRule>, next: number) {
    this.#listeners = listeners
    this.#rules = rules
    this.#next = next
  }

  get listeners(): ReadonlyArray<ListenerSettings> {
    return [...this.#listeners.values()].map(({ settings }) => settings)
  }

  listener(addr: string): ListenerSettings | undefined {
    return this.#listeners.get(addr)?.settings
  }

  routes(addr: string): ReadonlyArray<Route> {
    return inOrder(this.#listeners.get(addr)?.routes ?? HashMap.empty())
  }

  /** Those that terminate TLS, found without a look at the others. */
  l7Routes(addr: string): ReadonlyArray<L7Route> {
    return inOrder(this.#listeners.get(addr)?.l7Routes ?? HashMap.empty())
  }

  routeCount(addr: string): number {
    return HashMap.size(this.#listeners.get(addr)?.routes ?? HashMap.empty())
  }

  route(addr: string, hostname: string): Route | undefined {
    const listener = this.#listeners.get(addr)
    return listener && Option.getOrUndefined(HashMap.get(listener.routes, hostname))?.item
  }

  get rules(): ReadonlyArray<FirewallRule> {
    return inOrder(this.#rules)
  }

  hasRule(rule: FirewallRule): boolean {
    return HashMap.has(this.#rules, ruleKey(rule))
  }

  toState(): State {
    return {
      listeners: this.listeners.map((listener) => ({ ...listener, routes: this.routes(listener.addr) })),
      firewallRules: this.rules
    }
  }

  /** The state after `change`; fails with a sentence when a route is put on a listener that is not there. */
  apply(change: Change): Result.Result<StateIndex, string> {
    const listeners = new Map(this.#listeners)
    let rules = this.#rules
    let next = this.#next
    for (const edit of change) {
      switch (edit._tag) {
        case "PutListener": {
          const { l7Routes, routes } = listeners.get(edit.listener.addr) ?? NO_ROUTES
          listeners.set(edit.listener.addr, { settings: edit.listener, routes, l7Routes })
          break
        }
        case "RemoveListener":
          listeners.delete(edit.addr)
          break
        case "PutRoute": {
          const listener = listeners.get(edit.listener)
          if (listener === undefined) return Result.fail(`there is no listener ${edit.listener}`)
          listeners.set(edit.listener, withRoute(listener, edit.route, next++))
          break
        }
        case "RemoveRoute": {
          const listener = listeners.get(edit.listener)
          if (listener === undefined) break
          listeners.set(edit.listener, {
            ...listener,
            routes: HashMap.remove(listener.routes, edit.hostname),
            l7Routes: HashMap.remove(listener.l7Routes, edit.hostname)
          })
          break
        }
        case "PutRules":
          rules = HashMap.mutate(rules, (own) => {
            for (const rule of edit.rules) put(own, ruleKey(rule), rule, next++)
          })
          break
        case "RemoveRules":
          rules = HashMap.mutate(rules, (own) => {
            for (const rule of edit.rules) HashMap.remove(own, ruleKey(rule))
          })
      }
    }
    return Result.succeed(new StateIndex(listeners, rules, next))
  }
}

interface ListenerEntry {
  readonly settings: ListenerSettings
  readonly routes: Ordered<Route>
  /** Those among them that terminate TLS; who asks for them does so for every route that is added. */
  readonly l7Routes: Ordered<L7Route>
}

const NO_ROUTES: Pick<ListenerEntry, "routes" | "l7Routes"> = { routes: HashMap.empty(), l7Routes: HashMap.empty() }

/** Items by name, each with its place among the others. */
type Ordered<A> = HashMap.HashMap<string, Placed<A>>

interface Placed<A> {
  readonly item: A
  readonly place: number
}

const withRoute = (listener: ListenerEntry, route: Route, place: number): ListenerEntry => {
  const routes = put(listener.routes, route.hostname, route, place)
  if (route.mode === "l4") return { ...listener, routes, l7Routes: HashMap.remove(listener.l7Routes, route.hostname) }
  const known = Option.getOrThrow(HashMap.get(routes, route.hostname))
  return {
    ...listener,
    routes,
    l7Routes: HashMap.set(listener.l7Routes, route.hostname, { item: route, place: known.place })
  }
}

/** An item that is put again keeps its place. */
const put = <A>(items: Ordered<A>, key: string, item: A, place: number): Ordered<A> => {
  const known = Option.getOrUndefined(HashMap.get(items, key))
  return HashMap.set(items, key, { item, place: known?.place ?? place })
}

const inOrder = <A>(items: Ordered<A>): ReadonlyArray<A> =>
  HashMap.toValues(items)
    .toSorted((a, b) => a.place - b.place)
    .map(({ item }) => item)
