/**
 * Which outcomes a client may have at the edge, stage by stage, by what it is, what may have been in force when it was
 * accepted, and what went wrong around it.
 */
import type { IpAddress } from "../../net/IpAddress.ts"
import type { Outcome } from "../../pipeline/Outcome.ts"
import type { FirewallRule } from "../../snapshot/FirewallRule.ts"
import type { ClientKind, ClientPlan } from "./ClientPlan.ts"
import type { History } from "./History.ts"
import { limitItem, routeItem, ruleItem } from "./History.ts"
import type { Plan } from "./Plan.ts"
import { ip } from "./Parsed.ts"
import { HOSTNAMES, INNER, PAIRED_RULES, PROXIED, RULES, STRANGE_PEER, type BackendPlan } from "./Site.ts"
import type { SimEvent } from "./Journal.ts"
import { handshakeOutcome } from "./WebHandshake.ts"
import type { WebPlan } from "./WebPlan.ts"

export interface Surroundings {
  readonly plan: Plan
  readonly history: History
  /** The number of the event of its accept. */
  readonly acceptedAt: number
  /** Faults that it may have met. */
  readonly faults: ReadonlyArray<Extract<SimEvent, { readonly _tag: "Fault" }>>
  /** The client, or the backend's end of its connection, was reset from outside. */
  readonly wasReset: boolean
}

export const expectedOutcomes = (client: ClientPlan, around: Surroundings): ReadonlySet<Outcome> => {
  const outcomes = new Set<Outcome>()
  const leaves = client.kind === "resetting" || client.kind === "breaking"
  if (leaves || around.wasReset) outcomes.add("reset")
  if (canLackDescriptors(around)) outcomes.add("descriptors")
  const limits = around.history.possible(limitItem(client.listener), around.acceptedAt)
  if ([...limits].some((limit) => limit !== "" && limit !== "0")) outcomes.add("max_connections")
  for (const stage of [identify, judge, peek]) {
    const { goesOn, refusals } = stage(client, around)
    for (const refusal of refusals) outcomes.add(refusal)
    if (!goesOn) return outcomes
  }
  for (const outcome of routed(client, around)) outcomes.add(outcome)
  return outcomes
}

interface Stage {
  readonly refusals: ReadonlyArray<Outcome>
  readonly goesOn: boolean
}
const PASSES: Stage = { refusals: [], goesOn: true }
const refuses = (...refusals: ReadonlyArray<Outcome>): Stage => ({ refusals, goesOn: false })

const canLackDescriptors = ({ faults, plan }: Surroundings): boolean =>
  plan.socketsMax < ENOUGH_SOCKETS || faults.some(({ kind }) => kind === "descriptors_gone")

/** Two for each client, and the listeners. */
const ENOUGH_SOCKETS = 200

const identify = (client: ClientPlan): Stage => {
  if (client.listener !== PROXIED) return PASSES
  if (client.from.ip.text === STRANGE_PEER.text) return refuses("untrusted_proxy")
  if (client.header === "broken") return refuses("proxy_header")
  if (client.header !== "none") return PASSES
  return client.bytes.length === 0 ? peek(client) : refuses("proxy_header")
}

/** Who is not known to be blocked, and not known not to be, may be either. */
const judge = (client: ClientPlan, { acceptedAt, history, plan }: Surroundings): Stage => {
  const refusals: Array<Outcome> = []
  const country = plan.site.countries.get(client.source.ip.text) ?? ""
  for (const type of ["ip", "cidr", "country"] as const) {
    const matching = [...RULES, ...PAIRED_RULES].filter(
      (rule) => rule.type === type && matches(rule, client.source.ip, country)
    )
    const states = matching.map((rule) => history.possible(ruleItem(rule), acceptedAt))
    if (states.some((values) => values.has("there"))) refusals.push(`blocked_${type}`)
    if (states.some((values) => !values.has(""))) return refuses(...refusals)
  }
  if (plan.rateLimit.limit > 0 && client.header !== "local") refusals.push("rate_limited")
  return { refusals, goesOn: true }
}

const peek = ({ kind }: ClientPlan): Stage => {
  const outcome = HELLO_OUTCOMES[kind]
  return outcome === undefined ? PASSES : refuses(outcome)
}

const HELLO_OUTCOMES: Readonly<Partial<Record<ClientKind, Outcome>>> = {
  dawdling: "hello_timeout",
  leaving: "client_closed",
  breaking: "reset",
  garbling: "not_tls",
  boasting: "hello_too_large",
  nameless: "no_sni"
}

const routed = (client: ClientPlan, around: Surroundings): ReadonlyArray<Outcome> => {
  const { acceptedAt, history, plan } = around
  const backends = history.possible(routeItem(client.listener, client.hostname), acceptedAt)
  return [...backends].flatMap((name) => {
    if (name === "") return ["no_route"] as const
    if (client.web !== undefined)
      return webOutcomes(
        client.web,
        around.faults.some(({ kind, subject }) => kind === "web_reset" && subject === name)
      )
    if (name !== INNER) return carried(client.kind, backendNamed(plan, name), around)
    return innerOutcomes(client, around).flatMap((outcome) => SEEN_FROM_EDGE[outcome] ?? ["reset"])
  })
}

/**
 * What backends do is their requests' fate, and the connection's only on HTTP/1.1, where a body is cut off and a request
 * cancelled by its end.
 */
const webOutcomes = (
  { alpn, handshake, leaving, requests, resetAfterMs }: WebPlan,
  wasBackendReset: boolean
): ReadonlyArray<Outcome> => {
  const failed = handshakeOutcome(handshake)
  if (failed !== undefined) return resetAfterMs === undefined ? [failed] : [failed, "reset"]
  const breaksOff =
    wasBackendReset ||
    requests.some(({ answer, cancelledAfterMs }) => answer.kind === "cut" || cancelledAfterMs !== undefined)
  const isHttp1 = !alpn.includes("h2")
  const outcomes: Array<Outcome> = ["done"]
  if (resetAfterMs !== undefined || leaving === "resetting" || (isHttp1 && breaksOff)) outcomes.push("reset")
  // A head that begins in one segment with the end of a body has no deadline of its own.
  const isBegunUnseen = leaving === "dawdling" && (requests.at(-1)?.body.bytes ?? 0) > 0
  if (leaving === "staying" || isBegunUnseen) outcomes.push("idle_timeout")
  return outcomes
}

const backendNamed = ({ site }: Plan, name: string): BackendPlan => site.backends.find((one) => one.name === name)!

/** Where the second proxy leads the client. */
export const innerOutcomes = (client: ClientPlan, around: Surroundings): ReadonlyArray<Outcome> =>
  carried(client.kind, around.plan.site.backends[HOSTNAMES.indexOf(client.hostname)]!, around)

/** Both proxies have the same patience, and any of them may lose it first; everything else ends in a reset. */
const SEEN_FROM_EDGE: Readonly<Partial<Record<Outcome, ReadonlyArray<Outcome>>>> = {
  done: ["done"],
  idle_timeout: ["reset", "idle_timeout"],
  half_close_timeout: ["reset", "half_close_timeout"],
  dial_timeout: ["reset", "half_close_timeout"]
}

/** From the dial on. */
const carried = (kind: ClientKind, backend: BackendPlan, { faults }: Surroundings): ReadonlyArray<Outcome> => {
  const dialled = DIAL_OUTCOMES[backend.kind]
  if (dialled !== undefined) return [dialled]
  const outcomes = [...RELAY_OUTCOMES[backend.kind as RelayedKind][kind as RelayingKind]]
  for (const fault of faults) {
    const outcome = FAULT_OUTCOMES[fault.kind]
    if (outcome !== undefined && (fault.subject === "" || fault.subject === backend.name)) outcomes.push(outcome)
  }
  return outcomes
}

const FAULT_OUTCOMES: Readonly<Partial<Record<string, Outcome>>> = {
  backend_refused: "dial_failed",
  backend_unreachable: "dial_failed",
  backend_silent: "dial_timeout",
  names_silent: "dial_timeout"
}

const DIAL_OUTCOMES: Readonly<Partial<Record<BackendPlan["kind"], Outcome>>> = {
  refusing: "dial_failed",
  unreachable: "dial_failed",
  nameless: "dial_failed",
  hanging: "dial_timeout",
  unresolving: "dial_timeout"
}

type RelayedKind = "echoing" | "slow" | "stalled" | "resetting" | "half_closing"
type RelayingKind = "finishing" | "idling" | "resetting"

const RELAY_OUTCOMES: Readonly<Record<RelayedKind, Readonly<Record<RelayingKind, ReadonlyArray<Outcome>>>>> = {
  echoing: { finishing: ["done"], idling: ["idle_timeout"], resetting: ["reset"] },
  slow: { finishing: ["done"], idling: ["idle_timeout"], resetting: ["reset"] },
  stalled: { finishing: ["half_close_timeout"], idling: ["idle_timeout"], resetting: ["reset"] },
  // It may wait for more bytes than an idling client has.
  resetting: { finishing: ["reset"], idling: ["reset", "idle_timeout"], resetting: ["reset"] },
  half_closing: { finishing: ["done"], idling: ["half_close_timeout"], resetting: ["reset"] }
}

const matches = (rule: FirewallRule, source: IpAddress, country: string): boolean => {
  if (rule.type === "country") return rule.value === country
  const [prefix = "", length = ""] = rule.value.split("/")
  const network = ip(prefix)
  if (network.family !== source.family) return false
  const width = source.family === 4 ? 32 : 128
  const shift = BigInt(width - Number(length === "" ? width : length))
  return bitsOf(network) >> shift === bitsOf(source) >> shift
}

const bitsOf = ({ family, w0, w1, w2, w3 }: IpAddress): bigint => {
  const words = family === 4 ? [w0] : [w0, w1, w2, w3]
  return words.reduce((bits, word) => (bits << 32n) | BigInt(word >>> 0), 0n)
}
