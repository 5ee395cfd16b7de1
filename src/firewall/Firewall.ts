/**
 * The firewall's rules in the form that answers a connection: is this source blocked, and by which rule?
 *
 * Immutable, so a connection decides by the rules of its accept while others change them. A decision costs the same for
 * ten rules and for a hundred thousand, and one rule more copies one path. It keeps no order among rules of one type: an
 * address inside several blocked networks is blocked by the narrowest. The rate limit is not here; it has state.
 */
import { Result } from "effect"
import type { IpAddress } from "../net/IpAddress.ts"
import { formatCidr, networkAround, parseIpOrCidr, type Cidr, type FirewallRule } from "../snapshot/FirewallRule.ts"
import { PrefixTrie } from "./PrefixTrie.ts"

/** How many rules there are of each type. */
export type FirewallCounts = Readonly<Record<FirewallRule["type"], number>>

export class Firewall {
  static readonly empty = new Firewall(PrefixTrie.empty, PrefixTrie.empty, new Set())

  readonly counts: FirewallCounts
  /** Addresses, as networks of full length. */
  readonly #ips: PrefixTrie
  readonly #cidrs: PrefixTrie
  readonly #countries: ReadonlySet<string>

  private constructor(ips: PrefixTrie, cidrs: PrefixTrie, countries: ReadonlySet<string>) {
    this.#ips = ips
    this.#cidrs = cidrs
    this.#countries = countries
    this.counts = { ip: ips.size, cidr: cidrs.size, country: countries.size }
  }

  /** The rule that blocks a connection from `ip` in `country` ("": unknown, which no rule blocks): IP, CIDR, country. */
  match(ip: IpAddress, country: string): FirewallRule | undefined {
    if (this.#ips.match(ip) !== undefined) return { type: "ip", value: ip.text }
    const length = this.#cidrs.match(ip)
    if (length !== undefined) return { type: "cidr", value: formatCidr(networkAround(ip, length)) }
    return this.#countries.has(country) ? { type: "country", value: country } : undefined
  }

  /** Does, in slices, what the next change may have to do in one go; yields how many nodes each slice copied. */
  *move(): Generator<number> {
    yield* this.#ips.move()
    yield* this.#cidrs.move()
  }

  /** With `rules`, each canonical; the same object when all are there already. */
  add(rules: Iterable<FirewallRule>): Firewall {
    const { cidrs, countries, ips } = byType(rules)
    return this.with(this.#ips.add(ips), this.#cidrs.add(cidrs), new Set([...this.#countries, ...countries]))
  }

  /** Without `rules`; the same object when none is there. */
  remove(rules: Iterable<FirewallRule>): Firewall {
    const { cidrs, countries, ips } = byType(rules)
    const left = [...this.#countries].filter((country) => !countries.has(country))
    return this.with(this.#ips.remove(ips), this.#cidrs.remove(cidrs), new Set(left))
  }

  /** Not `#with`: tsc 6.0.3 then names the class by an alias that is not there yet when `empty` is made. */
  private with(ips: PrefixTrie, cidrs: PrefixTrie, countries: ReadonlySet<string>): Firewall {
    const isSame = ips === this.#ips && cidrs === this.#cidrs && countries.size === this.#countries.size
    return isSame ? this : new Firewall(ips, cidrs, countries)
  }
}

const byType = (rules: Iterable<FirewallRule>) => {
  const ips: Array<Cidr> = []
  const cidrs: Array<Cidr> = []
  const countries = new Set<string>()
  for (const rule of rules) {
    if (rule.type === "country") countries.add(rule.value)
    else (rule.type === "ip" ? ips : cidrs).push(networkOf(rule))
  }
  return { ips, cidrs, countries }
}

/** The network of an `ip` or `cidr` rule. A rule that is none was made past `parseFirewallRule`: a defect. */
const networkOf = (rule: FirewallRule): Cidr =>
  Result.getOrThrowWith(
    parseIpOrCidr(rule.value),
    (problem) => new Error(`Firewall rule ${rule.type} ${rule.value} ${problem}.`)
  )
