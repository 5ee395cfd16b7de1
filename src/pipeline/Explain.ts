/**
 * What the pipeline would do with a connection, told without one.
 *
 * The stages themselves decide, so that this cannot say anything else than they do; only the rate limit is asked in the
 * place of being spent. What they would learn from the connection, the PROXY header and the ClientHello, is taken as
 * the question says, and no backend is dialled.
 */
import { Effect } from "effect"
import type { Firewall } from "../firewall/Firewall.ts"
import type { GeoIp } from "../firewall/GeoIp.ts"
import { RateLimiter } from "../firewall/RateLimiter.ts"
import { parseIpAddress } from "../net/IpAddress.ts"
import { isL7 } from "../routing/RouteTable.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { Hostname } from "../snapshot/Hostname.ts"
import type { Route } from "../snapshot/Snapshot.ts"
import { admit, type AdmitRefusal } from "./Admit.ts"
import type { LiveConnection } from "./LiveConnection.ts"
import type { Outcome } from "./Outcome.ts"
import type { ListenerState, ProxyState } from "./ProxyState.ts"
import type { Refusal } from "./Refusal.ts"
import { route, type RouteRefusal } from "./Route.ts"
import { certificateOf } from "./Terminate.ts"

export interface ConnectionQuestion {
  readonly listener: string
  /** Canonical. */
  readonly clientIp: string
  readonly hostname: Hostname
}

export interface Explanation {
  /** `routed`: the pipeline would relay or terminate. */
  readonly outcome: Outcome | "routed"
  /** ISO 3166-1 alpha-2; empty: none known. */
  readonly country: string
  readonly rule: FirewallRule | undefined
  readonly route: Route | undefined
  /** In the pipeline's order; none after the one that refuses. */
  readonly stages: ReadonlyArray<StageVerdict>
}

export interface StageVerdict {
  readonly stage: "identify" | "admit" | "peek" | "route" | "relay" | "terminate"
  /** `unknown`: what cannot be told without a connection. */
  readonly verdict: "pass" | "refuse" | "unknown"
  readonly detail: string
}

/** `undefined`: there is no such listener. */
export const explain = Effect.fnUntraced(function* (
  question: ConnectionQuestion,
  state: ProxyState
): Effect.fn.Return<Explanation | undefined, never, GeoIp | RateLimiter> {
  const listener = state.listeners.get(question.listener)
  if (listener === undefined) return undefined
  const limiter = yield* RateLimiter
  const found: Found = { known: {}, stages: [] }
  const refused = yield* decide(question, state.firewall, listener, found).pipe(
    Effect.provideService(RateLimiter, { ...limiter, admit: (ip) => limiter.wouldAdmit(ip) }),
    Effect.match({ onFailure: (refused) => refused, onSuccess: () => undefined })
  )
  if (refused !== undefined) {
    found.stages.push({ stage: refused.stage, verdict: "refuse", detail: reasonOf(refused.refusal) })
  }
  return {
    outcome: refused?.refusal._tag ?? "routed",
    country: found.known.country ?? "",
    rule: refused?.refusal.rule,
    route: found.known.route?.route,
    stages: found.stages
  }
})

/** What the stages have noted, up to one that refuses. */
interface Found extends Pick<LiveConnection, "known"> {
  readonly stages: Array<StageVerdict>
}

/** `pipeline/Pipeline.ts`, on what the question says. */
const decide = Effect.fnUntraced(function* (
  { clientIp, hostname }: ConnectionQuestion,
  firewall: Firewall,
  { listener, routes }: ListenerState,
  found: Found
) {
  const ip = parseIpAddress(clientIp)
  if (ip === undefined) return yield* Effect.die(new Error(`${clientIp} is no IP address.`))
  const note = (stage: StageVerdict["stage"], verdict: StageVerdict["verdict"], detail: string) =>
    found.stages.push({ stage, verdict, detail })

  if (listener.proxyProtocol) note("identify", "unknown", `${ip.text} is taken for whom the PROXY header names`)
  else note("identify", "pass", `${ip.text} is the TCP peer`)
  const identified = { client: { ip, port: 0 }, destination: undefined, probe: false }
  const admitted = yield* at("admit", admit(identified, found, firewall))
  note("admit", "pass", "no rule and no rate limit blocks it")
  note("peek", "unknown", `a whole ClientHello that names ${hostname} is taken for granted`)
  const routed = (found.known = yield* at("route", route({ ...admitted, hostname }, routes)))
  const { backend, mode } = routed.route.route
  note("route", "pass", `${mode} to ${backend}`)
  if (!isL7(routed.route)) return void note("relay", "unknown", `the backend ${backend} is not dialled`)
  yield* at("terminate", certificateOf(routed.route))
  note("terminate", "unknown", `a handshake is taken for granted, and ${backend} asked by request`)
})

const at = <A, E extends Refusal<Outcome>, R>(stage: StageVerdict["stage"], run: Effect.Effect<A, E, R>) =>
  Effect.mapError(run, (refusal) => ({ stage, refusal }))

const reasonOf = ({ _tag, rule }: AdmitRefusal | RouteRefusal | Refusal<"certificate_unavailable">): string => {
  switch (_tag) {
    case "blocked_ip":
    case "blocked_cidr":
    case "blocked_country":
      return `blocked by the rule ${rule === undefined ? "" : `${rule.type} ${rule.value}`}`
    case "rate_limited":
      return "it has made as many connections as it may for now"
    case "no_route":
      return "the listener has no route for this name"
    case "certificate_unavailable":
      return "the route's certificate is not loaded"
  }
}
