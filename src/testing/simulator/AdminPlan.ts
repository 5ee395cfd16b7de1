/** What operators ask of the edge's admin API, and when they lose patience. */
import type { FirewallRule } from "../../snapshot/FirewallRule.ts"
import type { Draw } from "../Draw.ts"
import { ADDED, HOSTNAMES, LIMITED, PLAIN, PROXIED, RULES, type BackendPlan } from "./Site.ts"

export type AdminAction =
  | { readonly op: "add_rule" | "remove_rule"; readonly rule: FirewallRule }
  /** All of `PAIRED_RULES` at once. */
  | { readonly op: "add_pair" | "remove_pair" }
  | { readonly op: "add_route"; readonly listener: string; readonly hostname: string; readonly backend: string }
  | { readonly op: "remove_route"; readonly listener: string; readonly hostname: string }
  | { readonly op: "limit"; readonly listener: string; readonly maxConnections: number }
  | { readonly op: "add_listener" | "remove_listener" }
  /** Ends the connection that has lived longest, of those the operator sees. */
  | { readonly op: "close" }
  | { readonly op: "reload" }

export interface AdminPlan {
  readonly number: number
  readonly atMs: number
  readonly action: AdminAction
  /** The operator leaves after that time, if there is no answer yet. */
  readonly cancelledAfterMs: number | undefined
}

export const drawAdmin = (
  draw: Draw,
  number: number,
  spanMs: number,
  backends: ReadonlyArray<BackendPlan>
): AdminPlan => ({
  number,
  atMs: draw.integer(1, spanMs),
  action: drawAction(draw, backends),
  cancelledAfterMs: draw.chance(15) ? draw.integer(0, 8) : undefined
})

const drawAction = (draw: Draw, backends: ReadonlyArray<BackendPlan>): AdminAction => {
  const op = draw.weighted(WEIGHTS)
  const listener = draw.pick([PLAIN, PLAIN, PROXIED, LIMITED, ADDED])
  switch (op) {
    case "add_rule":
    case "remove_rule":
      return { op, rule: draw.pick(RULES) }
    case "add_route":
      return {
        op,
        listener,
        hostname: draw.pick(HOSTNAMES),
        backend: draw.pick(backends.slice(0, BACKENDS_MOVED_TO)).name
      }
    case "remove_route":
      return { op, listener, hostname: draw.pick(HOSTNAMES) }
    case "limit":
      return { op, listener: LIMITED, maxConnections: draw.integer(0, 4) }
    case "add_pair":
    case "remove_pair":
    case "add_listener":
    case "remove_listener":
    case "close":
    case "reload":
      return { op }
  }
}

const WEIGHTS: Readonly<Record<AdminAction["op"], number>> = {
  add_rule: 14,
  remove_rule: 12,
  add_pair: 6,
  remove_pair: 6,
  add_route: 12,
  remove_route: 6,
  limit: 6,
  add_listener: 4,
  remove_listener: 2,
  close: 6,
  reload: 3
}

/** Routes move among the first of each kind. */
const BACKENDS_MOVED_TO = 5
