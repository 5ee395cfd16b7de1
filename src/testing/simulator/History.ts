/**
 * What may have been in force at any moment, by what callers were told: a plain model of the state, item by item.
 *
 * A mutation that was answered as done holds from its answer on; from its asking to its answer either may hold, and
 * after an answer that leaves it open as well, until a later one on the same item is done. What is found stored after a
 * crash settles everything.
 */
import type { State } from "../../snapshot/Change.ts"
import type { AdminAction } from "./AdminPlan.ts"
import type { Answer, SimEvent } from "./Journal.ts"
import type { L7Policy, Route } from "../../snapshot/Snapshot.ts"
import { ADDED, HOSTNAMES, LISTENERS, PAIRED_RULES, RULES } from "./Site.ts"
import { POLICIES, WEB_HOSTNAMES } from "./WebSite.ts"

/** The name of an item, and what it is; "": it is not there. */
export type Items = ReadonlyMap<string, string>

export const ruleItem = ({ type, value }: { readonly type: string; readonly value: string }) => `rule ${type} ${value}`
export const routeItem = (listener: string, hostname: string) => `route ${listener} ${hostname}`
export const policyItem = (listener: string, hostname: string, { type, value }: L7Policy) =>
  `policy ${listener} ${hostname} ${type} ${value}`
export const limitItem = (listener: string) => `listener ${listener}`

/** A route is its backend, a listener its limit. */
export const itemsOf = ({ firewallRules, listeners }: State): Items =>
  new Map([
    ...firewallRules.map((rule) => [ruleItem(rule), "there"] as const),
    ...listeners.flatMap(({ addr, maxConnections, routes }) => [
      [limitItem(addr), String(maxConnections)] as const,
      ...routes.flatMap((route) => [
        [routeItem(addr, route.hostname), route.backend] as const,
        ...policiesOf(route).map((policy) => [policyItem(addr, route.hostname, policy), "there"] as const)
      ])
    ])
  ])

const policiesOf = (route: Route): ReadonlyArray<L7Policy> => (route.mode === "l7" ? route.l7Policies : [])

/** Values that an item may have got, from when to when that was decided, by the numbers of events. */
interface Write {
  readonly value: string
  readonly from: number
  to: number
  /** When it has happened, if ever: who has left is not told, but those who asked later are told later. */
  until: number
  answer: Answer
}

export class History {
  readonly #writes = new Map<string, Array<Write>>()
  /** What was stored in the beginning and after each crash. */
  readonly #settled: Array<{ readonly at: number; readonly items: Items }> = []
  /** Every item that was ever named. */
  readonly items = new Set<string>()

  constructor(events: ReadonlyArray<SimEvent>) {
    const asked = new Map<number, ReadonlyArray<Write>>()
    for (const [index, event] of events.entries()) {
      if (event._tag === "Stored") {
        this.#settled.push({ at: index, items: event.items })
        for (const item of event.items.keys()) this.items.add(item)
      } else if (event._tag === "Asked") {
        const writes = editsOf(event.action).map(([item, value]) => {
          const write: Write = { value, from: index, to: Infinity, until: Infinity, answer: "unknown" }
          this.#writes.set(item, [...(this.#writes.get(item) ?? []), write])
          this.items.add(item)
          return write
        })
        asked.set(event.number, writes)
      } else if (event._tag === "Answered") {
        const own = asked.get(event.number) ?? []
        for (const write of own) {
          write.to = index
          write.answer = event.answer
        }
        if (event.answer === "done") this.#settle(own[0]?.from ?? 0, index)
      }
    }
  }

  /** What was asked up to an event has happened by now. */
  #settle(from: number, now: number): void {
    for (const writes of this.#writes.values()) {
      for (const write of writes) if (write.from <= from && write.until === Infinity) write.until = now
    }
  }

  /** Whether somebody may have written it after one event and before the other. */
  isWritten(item: string, after: number, before: number): boolean {
    return (this.#writes.get(item) ?? []).some(
      ({ answer, from, until }) => answer !== "refused" && from < before && until > after
    )
  }

  /** What the item may be at any time from one event to the other. */
  possibleBetween(item: string, from: number, to: number): ReadonlySet<string> {
    const values = new Set(this.possible(item, from))
    for (const write of this.#writes.get(item) ?? []) {
      if (write.answer !== "refused" && write.from < to && write.until > from) values.add(write.value)
    }
    for (const { at, items } of this.#settled) if (at > from && at < to) values.add(items.get(item) ?? "")
    return values
  }

  /** What the item may be when the event of that number happens. */
  possible(item: string, index: number): ReadonlySet<string> {
    const base = this.#settled.findLast(({ at }) => at < index)
    const since = base?.at ?? -1
    const writes = (this.#writes.get(item) ?? []).filter(
      ({ answer, from, to }) => answer !== "refused" && from < index && to > since
    )
    const isOver = (from: number) =>
      writes.some((later) => later.answer === "done" && later.from > from && later.to < index)
    const values = new Set<string>()
    if (!writes.some(({ answer, to }) => answer === "done" && to < index)) values.add(base?.items.get(item) ?? "")
    for (const { to, value } of writes) if (!isOver(to)) values.add(value)
    return values
  }
}

type Edit = readonly [item: string, value: string]

const editsOf = (action: AdminAction): ReadonlyArray<Edit> => {
  switch (action.op) {
    case "add_rule":
      return [[ruleItem(action.rule), "there"]]
    case "remove_rule":
      return [[ruleItem(action.rule), ""]]
    case "add_pair":
      return PAIRED_RULES.map((rule) => [ruleItem(rule), "there"])
    case "remove_pair":
      return PAIRED_RULES.map((rule) => [ruleItem(rule), ""])
    case "add_route":
      return [
        [routeItem(action.listener, action.hostname), action.backend],
        ...withoutPolicies(action.listener, action.hostname)
      ]
    case "remove_route":
      return withoutRoute(action.listener, action.hostname)
    case "add_policy":
      return [[policyItem(action.listener, action.hostname, action.policy), "there"]]
    case "remove_policy":
      return [[policyItem(action.listener, action.hostname, action.policy), ""]]
    case "import": {
      const items = itemsOf(action.state)
      return EVERYTHING.map((item) => [item, items.get(item) ?? ""])
    }
    case "limit":
      return [[limitItem(action.listener), String(action.maxConnections)]]
    case "add_listener":
      return [[limitItem(ADDED), "0"]]
    case "remove_listener":
      return withoutListener(ADDED)
    case "close":
    case "reload":
      return []
  }
}

const withoutPolicies = (listener: string, hostname: string): ReadonlyArray<Edit> =>
  POLICIES.map((policy) => [policyItem(listener, hostname, policy), ""])

const withoutRoute = (listener: string, hostname: string): ReadonlyArray<Edit> => [
  [routeItem(listener, hostname), ""],
  ...withoutPolicies(listener, hostname)
]

const withoutListener = (listener: string): ReadonlyArray<Edit> => [
  [limitItem(listener), ""],
  ...[...HOSTNAMES, ...WEB_HOSTNAMES].flatMap((name) => withoutRoute(listener, name))
]

/** All that an import may name or leave out. */
const EVERYTHING: ReadonlyArray<string> = [
  ...[...RULES, ...PAIRED_RULES].map(ruleItem),
  ...LISTENERS.flatMap(withoutListener).map(([item]) => item)
]
