/** The admin API as its contract has it, on plain lists: what every operation answers, and what is there after it. */
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import type { State } from "../../src/snapshot/Change.ts"
import { EMPTY } from "../../src/snapshot/Change.ts"
import type { L7Policy, L7Route, Listener, Route } from "../../src/snapshot/Snapshot.ts"

/** An operation with values that are right in form; what it says may still be refused. */
export type Operation =
  | { readonly op: "addRoute"; readonly addr: string; readonly route: Route }
  | { readonly op: "removeRoute"; readonly addr: string; readonly hostname: string }
  | { readonly op: "addFirewallRule"; readonly rule: FirewallRule }
  | { readonly op: "removeFirewallRule"; readonly rule: FirewallRule }
  | {
      readonly op: "applyFirewallRules"
      readonly add: ReadonlyArray<FirewallRule>
      readonly remove: ReadonlyArray<FirewallRule>
    }
  | { readonly op: "addL7Policy"; readonly addr: string; readonly hostname: string; readonly policy: L7Policy }
  | { readonly op: "removeL7Policy"; readonly addr: string; readonly hostname: string; readonly policy: L7Policy }
  | { readonly op: "addListener"; readonly listener: Omit<Listener, "routes"> }
  | { readonly op: "updateListener"; readonly listener: Omit<Listener, "routes"> }
  | { readonly op: "removeListener"; readonly addr: string }
  | { readonly op: "setListenerMaxConnections"; readonly addr: string; readonly maxConnections: number }
  | { readonly op: "importState"; readonly state: State; readonly dryRun: boolean }

/** What is answered, of what the model knows; or the refusal's tag. */
export type Answer = { readonly ok: unknown } | { readonly error: string }

export class AdminModel {
  state: State = EMPTY
  /** Listeners that another program has bound. */
  readonly taken: ReadonlySet<string>

  constructor(taken: ReadonlySet<string>) {
    this.taken = taken
  }

  run(operation: Operation): Answer {
    switch (operation.op) {
      case "addRoute": {
        const listener = this.#listener(operation.addr)
        if (listener === undefined) return { error: "NotFound" }
        const at = listener.routes.findIndex(({ hostname }) => hostname === operation.route.hostname)
        const routes = at < 0 ? [...listener.routes, operation.route] : listener.routes.with(at, operation.route)
        this.#put({ ...listener, routes })
        return { ok: { replaced: at >= 0 } }
      }
      case "removeRoute": {
        const listener = this.#listener(operation.addr)
        const routes = listener?.routes.filter(({ hostname }) => hostname !== operation.hostname)
        if (listener === undefined || routes?.length === listener.routes.length) return { error: "NotFound" }
        this.#put({ ...listener, routes: routes ?? [] })
        return { ok: {} }
      }
      case "addFirewallRule":
        if (this.#has(operation.rule)) return { error: "AlreadyExists" }
        this.#setRules([...this.state.firewallRules, operation.rule])
        return { ok: {} }
      case "removeFirewallRule":
        if (!this.#has(operation.rule)) return { error: "NotFound" }
        this.#setRules(this.state.firewallRules.filter((rule) => !same(rule, operation.rule)))
        return { ok: {} }
      case "applyFirewallRules":
        return this.#applyRules(operation.add, operation.remove)
      case "addL7Policy":
        return this.#changePolicies(operation.addr, operation.hostname, (policies) =>
          policies.some((policy) => samePolicy(policy, operation.policy))
            ? "AlreadyExists"
            : [...policies, operation.policy]
        )
      case "removeL7Policy":
        return this.#changePolicies(operation.addr, operation.hostname, (policies) =>
          policies.some((policy) => samePolicy(policy, operation.policy))
            ? policies.filter((policy) => !samePolicy(policy, operation.policy))
            : "NotFound"
        )
      case "addListener":
        if (this.#listener(operation.listener.addr) !== undefined) return { error: "AlreadyExists" }
        if (this.taken.has(operation.listener.addr)) return { error: "FailedPrecondition" }
        this.state = { ...this.state, listeners: [...this.state.listeners, { ...operation.listener, routes: [] }] }
        return { ok: {} }
      case "updateListener": {
        const listener = this.#listener(operation.listener.addr)
        if (listener === undefined) return { error: "NotFound" }
        this.#put({ ...operation.listener, routes: listener.routes })
        return { ok: {} }
      }
      case "removeListener": {
        if (this.#listener(operation.addr) === undefined) return { error: "NotFound" }
        this.state = {
          ...this.state,
          listeners: this.state.listeners.filter(({ addr }) => addr !== operation.addr)
        }
        return { ok: {} }
      }
      case "setListenerMaxConnections": {
        const listener = this.#listener(operation.addr)
        if (listener === undefined) return { error: "NotFound" }
        this.#put({ ...listener, maxConnections: operation.maxConnections })
        return { ok: {} }
      }
      case "importState":
        return this.#importState(operation.state, operation.dryRun)
    }
  }

  #importState(wanted: State, dryRun: boolean): Answer {
    if (wanted.listeners.length === 0) return { error: "InvalidArgument" }
    if (dryRun) return { ok: {} }
    const fresh = wanted.listeners.filter(({ addr }) => this.#listener(addr) === undefined)
    if (fresh.some(({ addr }) => this.taken.has(addr))) return { error: "FailedPrecondition" }
    const keptFirst = <A>(before: ReadonlyArray<A>, after: ReadonlyArray<A>, key: (item: A) => string) => [
      ...before.flatMap((item) => after.find((other) => key(other) === key(item)) ?? []),
      ...after.filter((item) => !before.some((other) => key(other) === key(item)))
    ]
    const routesOf = (addr: string) => this.#listener(addr)?.routes ?? []
    this.state = {
      listeners: keptFirst(this.state.listeners, wanted.listeners, ({ addr }) => addr).map((listener) => ({
        ...listener,
        routes: keptFirst(routesOf(listener.addr), listener.routes, ({ hostname }) => hostname)
      })),
      firewallRules: keptFirst(this.state.firewallRules, wanted.firewallRules, ({ type, value }) => type + value)
    }
    return { ok: {} }
  }

  #applyRules(add: ReadonlyArray<FirewallRule>, remove: ReadonlyArray<FirewallRule>): Answer {
    if (add.some((rule) => remove.some((other) => same(rule, other)))) return { error: "InvalidArgument" }
    const before = this.state.firewallRules
    const kept = before.filter((rule) => !remove.some((other) => same(rule, other)))
    const after = [...kept]
    for (const rule of add) if (!after.some((other) => same(rule, other))) after.push(rule)
    this.#setRules(after)
    const [added, removed] = [after.length - kept.length, before.length - kept.length]
    return { ok: { added, removed, unchanged: add.length + remove.length - added - removed } }
  }

  #changePolicies(
    addr: string,
    hostname: string,
    change: (policies: ReadonlyArray<L7Policy>) => ReadonlyArray<L7Policy> | string
  ): Answer {
    const listener = this.#listener(addr)
    const route = listener?.routes.find((other) => other.hostname === hostname)
    if (listener === undefined || route === undefined) return { error: "NotFound" }
    if (route.mode === "l4") return { error: "InvalidArgument" }
    const l7Policies = change(route.l7Policies)
    if (typeof l7Policies === "string") return { error: l7Policies }
    const changed: L7Route = { ...route, l7Policies }
    this.#put({ ...listener, routes: listener.routes.map((other) => (other === route ? changed : other)) })
    return { ok: {} }
  }

  #listener(addr: string): Listener | undefined {
    return this.state.listeners.find((listener) => listener.addr === addr)
  }

  #put(listener: Listener): void {
    this.state = {
      ...this.state,
      listeners: this.state.listeners.map((other) => (other.addr === listener.addr ? listener : other))
    }
  }

  #has(rule: FirewallRule): boolean {
    return this.state.firewallRules.some((other) => same(other, rule))
  }

  #setRules(firewallRules: ReadonlyArray<FirewallRule>): void {
    this.state = { ...this.state, firewallRules }
  }
}

const same = (a: FirewallRule, b: FirewallRule): boolean => a.type === b.type && a.value === b.value

const samePolicy = (a: L7Policy, b: L7Policy): boolean =>
  a.type === b.type && a.value.toLowerCase() === b.value.toLowerCase()
