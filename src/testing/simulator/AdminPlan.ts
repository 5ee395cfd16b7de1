/** What operators ask of the edge's admin API, and when they lose patience. */
import type { FirewallRule } from "../../snapshot/FirewallRule.ts"
import type { Draw } from "../Draw.ts"
import type { State } from "../../snapshot/Change.ts"
import type { L7Policy, Route } from "../../snapshot/Snapshot.ts"
import { ADDED, HOSTNAMES, LIMITED, PAIRED_RULES, PLAIN, PROXIED, RULES, type Site } from "./Site.ts"
import { POLICIES, WEB_HOSTNAMES } from "./WebSite.ts"

export type AdminAction =
  | { readonly op: "add_rule" | "remove_rule"; readonly rule: FirewallRule }
  /** All of `PAIRED_RULES` at once. */
  | { readonly op: "add_pair" | "remove_pair" }
  | { readonly op: "add_route"; readonly listener: string; readonly hostname: string; readonly backend: string }
  | { readonly op: "remove_route"; readonly listener: string; readonly hostname: string }
  | {
      readonly op: "add_policy" | "remove_policy"
      readonly listener: string
      readonly hostname: string
      readonly policy: L7Policy
    }
  /** The whole state in the place of what there is. */
  | { readonly op: "import"; readonly state: State }
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

export const drawAdmin = (draw: Draw, number: number, spanMs: number, site: Site): AdminPlan => ({
  number,
  atMs: draw.integer(1, spanMs),
  action: drawAction(draw, site),
  cancelledAfterMs: draw.chance(15) ? draw.integer(0, 8) : undefined
})

const drawAction = (draw: Draw, site: Site): AdminAction => {
  const op = draw.weighted(WEIGHTS)
  const listener = draw.pick([PLAIN, PLAIN, PROXIED, LIMITED, ADDED])
  switch (op) {
    case "add_rule":
    case "remove_rule":
      return { op, rule: draw.pick(RULES) }
    case "add_route":
      return { op, listener, ...drawPlace(draw, site) }
    case "remove_route":
      return { op, listener, hostname: drawPlace(draw, site).hostname }
    case "add_policy":
    case "remove_policy":
      return { op, listener, hostname: draw.pick(WEB_HOSTNAMES), policy: draw.pick(POLICIES) }
    case "import":
      return { op, state: drawImport(draw, site) }
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

/** A hostname, and a backend for it: what speaks HTTP stays where HTTP is spoken. */
const drawPlace = (draw: Draw, { backends, webBackends }: Site): { hostname: string; backend: string } =>
  draw.chance(WEB_PERCENT)
    ? { hostname: draw.pick(WEB_HOSTNAMES), backend: draw.pick(webBackends).name }
    : { hostname: draw.pick(HOSTNAMES), backend: draw.pick(backends.slice(0, BACKENDS_MOVED_TO)).name }

const WEB_PERCENT = 30

/** What was there in the beginning, but for some routes, policies and rules, and the listener that comes and goes. */
const drawImport = (draw: Draw, { edge }: Site): State => {
  const listeners = edge.listeners.map((listener) => ({
    ...listener,
    maxConnections: listener.maxConnections === 0 ? 0 : draw.integer(1, 4),
    routes: listener.routes.filter(() => draw.chance(90)).map((route) => drawPolicies(draw, route))
  }))
  const [plain] = listeners
  const unpaired = edge.firewallRules.filter((rule) => !PAIRED_RULES.includes(rule) && draw.chance(70))
  return {
    listeners: plain !== undefined && draw.chance(30) ? [...listeners, { ...plain, addr: ADDED }] : listeners,
    firewallRules: draw.chance(50) ? [...unpaired, ...PAIRED_RULES] : unpaired
  }
}

const drawPolicies = (draw: Draw, route: Route): Route =>
  route.mode === "l7" && draw.chance(20) ? { ...route, l7Policies: POLICIES.filter(() => draw.chance(50)) } : route

const WEIGHTS: Readonly<Record<AdminAction["op"], number>> = {
  add_rule: 14,
  remove_rule: 12,
  add_pair: 6,
  remove_pair: 6,
  add_route: 12,
  remove_route: 6,
  add_policy: 8,
  remove_policy: 6,
  import: 4,
  limit: 6,
  add_listener: 4,
  remove_listener: 2,
  close: 6,
  reload: 3
}

/** Routes move among the first of each kind. */
const BACKENDS_MOVED_TO = 5
