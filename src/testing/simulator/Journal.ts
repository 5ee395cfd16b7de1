/**
 * Everything that happened in a simulation, as plain values in order. Checkers read it when the simulation has ended,
 * people read it as a trace, and two runs of a seed have the same.
 */
import type { TraceEvent } from "../../net/sim/Trace.ts"
import type { ConnectionEntry, RequestEntry } from "../../observe/AccessLog.ts"
import type { StoreFault, Statement } from "../../store/SimStore.ts"
import type { State } from "../../snapshot/Change.ts"
import type { FirewallRule } from "../../snapshot/FirewallRule.ts"
import type { L7Policy } from "../../snapshot/Snapshot.ts"
import type { AdminAction } from "./AdminPlan.ts"
import type { FaultKind } from "./FaultPlan.ts"
import type { BodyEnd } from "./WebRecords.ts"

export type ProxyName = "edge" | "inner"

/**
 * What the caller of a mutation was told: `unknown` is that the result is not known. Who has `left` did not wait, and
 * with a process that is `lost` goes the answer; both were told nothing. `died` is a defect.
 */
export type Answer = "done" | "refused" | "unknown" | "left" | "lost" | "died"

export type Happening =
  | { readonly _tag: "Network"; readonly event: TraceEvent }
  | { readonly _tag: "Process"; readonly what: ProcessEvent }
  | { readonly _tag: "Concluded"; readonly proxy: ProxyName; readonly entry: ConnectionEntry }
  /** Of a request, at its client and at a backend. */
  | { readonly _tag: "Requested"; readonly client: number; readonly index: number }
  | { readonly _tag: "Served"; readonly client: number; readonly index: number; readonly backend: string }
  | {
      readonly _tag: "Responded"
      readonly client: number
      readonly index: number
      readonly status: number | undefined
      readonly end: BodyEnd
      readonly bytes: number
    }
  /** Who began a head and left it at that is over; by which answer. */
  | { readonly _tag: "Dawdled"; readonly client: number; readonly status: number | undefined }
  /** The line of the access log. */
  | { readonly _tag: "RequestLogged"; readonly entry: RequestEntry }
  | { readonly _tag: "Limiter"; readonly source: string; readonly admitted: boolean }
  | { readonly _tag: "Asked"; readonly number: number; readonly action: AdminAction }
  | { readonly _tag: "Answered"; readonly number: number; readonly answer: Answer; readonly said: string }
  /** What the database holds when a process begins to serve. */
  | { readonly _tag: "Stored"; readonly items: ReadonlyMap<string, string> }
  | { readonly _tag: "CloseAsked"; readonly id: string }
  | { readonly _tag: "Disk"; readonly statement: Statement; readonly fault: StoreFault | undefined }
  /** `until`: when it stops; `subject`: what it meets. */
  | { readonly _tag: "Fault"; readonly kind: FaultKind; readonly until: number; readonly subject: string }
  | { readonly _tag: "Said"; readonly line: string }
  | { readonly _tag: "Violated"; readonly problem: string }

/** Of the edge. `lost` is a crash; what was begun before it and has not ended never will. */
export type ProcessEvent = "starting" | "not_started" | "serving" | "lost" | "told_to_stop" | "stopped"

export type SimEvent = Happening & {
  /** Simulated milliseconds. */
  readonly at: number
}

export class Journal {
  readonly events: Array<SimEvent> = []
  /** Simulated milliseconds. */
  readonly now: () => number

  constructor(now: () => number) {
    this.now = now
  }

  note(happening: Happening): void {
    this.events.push({ at: this.now(), ...happening })
  }
}

/** One line. */
export const formatEvent = (event: SimEvent): string => `${event.at.toFixed(3).padStart(10)} ${describe(event)}`

const describe = (event: SimEvent): string => {
  switch (event._tag) {
    case "Network": {
      const { bytes, connection, kind, side, subject } = event.event
      return `net     #${connection} ${side} ${kind}${bytes > 0 ? ` ${bytes}` : ""}${subject === "" ? "" : ` ${subject}`}`
    }
    case "Process":
      return `process ${event.what}`
    case "Concluded": {
      const { client, fromBackend, fromClient, hostname, id, listener, outcome, peer } = event.entry
      return `${event.proxy.padEnd(7)} ${id} ${outcome} ${listener} peer=${peer} client=${client} ${hostname} ${fromClient}/${fromBackend}`
    }
    case "Requested":
      return `client  ${event.client} asks ${event.index}`
    case "Served":
      return `backend ${event.backend} is asked ${event.client}/${event.index}`
    case "Responded":
      return `client  ${event.client} has ${event.index} answered ${event.status ?? "by nothing"}, ${event.bytes} ${event.end}`
    case "Dawdled":
      return `client  ${event.client} has dawdled, and was answered ${event.status ?? "by nothing"}`
    case "RequestLogged": {
      const { bytes, id, method, path, status } = event.entry
      return `edge    ${id} ${method} ${path} ${status ?? "unanswered"} ${bytes}`
    }
    case "Limiter":
      return `limiter ${event.source} ${event.admitted ? "admitted" : "refused"}`
    case "Asked":
      return `admin   ${event.number} asks ${Object.values<ActionValue>(event.action).map(showValue).join(" ")}`
    case "Answered":
      return `admin   ${event.number} ${event.answer} ${event.said}`
    case "Stored":
      return `stored  ${[...event.items].map((item) => item.join("=")).join(", ")}`
    case "CloseAsked":
      return `admin   closes ${event.id}`
    case "Disk":
      return `disk    ${event.statement.number} ${event.statement.step}${event.fault === undefined ? "" : ` ${JSON.stringify(event.fault)}`}`
    case "Fault":
      return `fault   ${event.kind} ${event.subject}`
    case "Said":
      return `log     ${event.line}`
    case "Violated":
      return `WRONG   ${event.problem}`
  }
}

type ActionValue = string | number | FirewallRule | L7Policy | State

const showValue = (value: ActionValue): string => {
  if (typeof value !== "object") return String(value)
  if ("type" in value) return `${value.type} ${value.value}`
  const routes = value.listeners.flatMap((listener) => listener.routes).length
  return `${value.listeners.length} listeners, ${routes} routes, ${value.firewallRules.length} rules`
}
