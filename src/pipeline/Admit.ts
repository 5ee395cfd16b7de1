/** Stage 2: the firewall, before anything of the client's own is read. Addresses, networks, countries, then the rate. */
import { Effect } from "effect"
import type { Firewall } from "../firewall/Firewall.ts"
import { GeoIp } from "../firewall/GeoIp.ts"
import { RateLimiter } from "../firewall/RateLimiter.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { Identified } from "./Identify.ts"
import type { LiveConnection } from "./LiveConnection.ts"
import type { Outcome } from "./Outcome.ts"
import { refuse, type Refusal } from "./Refusal.ts"

export interface Admitted extends Identified {
  /** ISO 3166-1 alpha-2; empty: none known. */
  readonly country: string
}

export type AdmitRefusal = Refusal<"blocked_ip" | "blocked_cidr" | "blocked_country" | "rate_limited">

/** A blocked client spends no quota, and neither does a load balancer's probe. */
export const admit = Effect.fnUntraced(function* (
  identified: Identified,
  live: Pick<LiveConnection, "known">,
  firewall: Firewall
): Effect.fn.Return<Admitted, AdmitRefusal, GeoIp | RateLimiter> {
  const { ip } = identified.client
  const country = (yield* GeoIp).country(ip)
  const admitted: Admitted = { ...identified, country }
  // Noted already here, so that the access line of a refused client tells its country.
  live.known = admitted
  const rule = firewall.match(ip, country)
  if (rule !== undefined) return yield* Effect.fail({ _tag: BLOCKED_BY[rule.type], rule })
  if (!identified.probe && !(yield* (yield* RateLimiter).admit(ip))) return yield* refuse("rate_limited")
  return admitted
})

const BLOCKED_BY = {
  ip: "blocked_ip",
  cidr: "blocked_cidr",
  country: "blocked_country"
} as const satisfies Record<FirewallRule["type"], Outcome>
