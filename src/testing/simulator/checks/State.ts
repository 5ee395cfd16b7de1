/**
 * Memory equals the database whenever everybody waits and the disk is idle, whoever has left in the middle, and so does
 * what connections are decided by. Rules that change together are there together.
 */
import { HashMap } from "effect"
import { isDeepStrictEqual } from "node:util"
import { ruleKey, type State } from "../../../snapshot/Change.ts"
import type { FirewallRule } from "../../../snapshot/FirewallRule.ts"
import { parseCidr } from "../../../snapshot/FirewallRule.ts"
import { Result } from "effect"
import { ip } from "../Parsed.ts"
import { PAIRED_RULES } from "../Site.ts"
import type { Life, World } from "../World.ts"

/** To be called whenever everybody waits. */
export const watchState = (world: World): void => {
  const { checkedRevision, disk, diskBusyUntil, journal, life, uncertain } = world
  if (life === undefined || uncertain || journal.now() < diskBusyUntil) return
  const { revision } = disk.stored
  if (revision === checkedRevision && life.control.current.revision === checkedRevision) return
  world.checkedRevision = revision
  checkState(world, life)
}

const checkState = ({ disk, journal }: World, { control, plane }: Life): void => {
  const { revision, ...stored } = disk.stored
  const violated = (problem: string) => journal.note({ _tag: "Violated", problem })
  const paired = PAIRED_RULES.filter((rule) => hasRule(stored, rule)).length
  if (paired !== 0 && paired !== PAIRED_RULES.length) violated("the database has half a change")
  const { current } = control
  if (current.revision !== revision) violated(`memory is at revision ${current.revision}, the database at ${revision}`)
  if (!isDeepStrictEqual(current.state.toState(), stored)) violated("memory is not what the database holds")
  const { firewall, listeners } = plane.state
  if (listeners.size !== stored.listeners.length) violated("other listeners are in force than the database holds")
  for (const { addr, maxConnections, routes } of stored.listeners) {
    const inForce = listeners.get(addr)
    const table = inForce?.routes ?? HashMap.empty()
    if (inForce?.listener.maxConnections !== maxConnections) violated(`${addr} has other settings than are stored`)
    const backends = routes.map(({ hostname }) => HashMap.get(table, hostname))
    const equal = routes.every((route, i) => {
      const found = backends[i]!
      return found._tag === "Some" && isDeepStrictEqual(found.value.route, route)
    })
    if (!equal || HashMap.size(table) !== routes.length) violated(`${addr} has other routes than are stored`)
  }
  const { cidr, country, ip: ips } = firewall.counts
  if (cidr + country + ips !== stored.firewallRules.length) violated("other rules are in force than are stored")
  for (const rule of stored.firewallRules) {
    if (firewall.match(addressOf(rule), rule.type === "country" ? rule.value : "") === undefined) {
      violated(`${ruleKey(rule)} is stored and blocks nobody`)
    }
  }
}

const hasRule = ({ firewallRules }: State, rule: FirewallRule): boolean =>
  firewallRules.some((other) => ruleKey(other) === ruleKey(rule))

/** One that the rule blocks. */
const addressOf = (rule: FirewallRule) =>
  rule.type === "ip"
    ? ip(rule.value)
    : rule.type === "cidr"
      ? Result.getOrThrow(parseCidr(rule.value)).ip
      : ip("255.255.255.254")
