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
import { ADDED, HOSTNAMES, PAIRED_RULES } from "./Site.ts"

/** The name of an item, and what it is; "": it is not there. */
export type Items = ReadonlyMap<string, string>

export const ruleItem = ({ type, value }: { readonly type: string; readonly value: string }) => `rule ${type} ${value}`
export const routeItem = (listener: string, hostname: string) => `route ${listener} ${hostname}`
export const limitItem = (listener: string) => `listener ${listener}`

/** A route is its backend, a listener its limit. */
export const itemsOf = ({ firewallRules, listeners }: State): Items =>
  new Map([
    ...firewallRules.map((rule) => [ruleItem(rule), "there"] as const),
    ...listeners.flatMap(({ addr, maxConnections, routes }) => [
      [limitItem(addr), String(maxConnections)] as const,
      ...routes.map(({ backend, hostname }) => [routeItem(addr, hostname), backend] as const)
    ])
  ])

/** Values that an item may have got, from when to when that was decided, by the numbers of events. */
interface Write {
  readonly value: string
  readonly from: number
  to: number
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
          const write: Write = { value, from: index, to: Infinity, answer: "unknown" }
          this.#writes.set(item, [...(this.#writes.get(item) ?? []), write])
          this.items.add(item)
          return write
        })
        asked.set(event.number, writes)
      } else if (event._tag === "Answered") {
        for (const write of asked.get(event.number) ?? []) {
          write.to = index
          write.answer = event.answer
        }
      }
    }
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

const editsOf = (action: AdminAction): ReadonlyArray<readonly [item: string, value: string]> => {
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
      return [[routeItem(action.listener, action.hostname), action.backend]]
    case "remove_route":
      return [[routeItem(action.listener, action.hostname), ""]]
    case "limit":
      return [[limitItem(action.listener), String(action.maxConnections)]]
    case "add_listener":
      return [[limitItem(ADDED), "0"]]
    case "remove_listener":
      return [[limitItem(ADDED), ""], ...HOSTNAMES.map((name) => [routeItem(ADDED, name), ""] as const)]
    case "close":
    case "reload":
      return []
  }
}
