/**
 * The firewall's rules in the form that answers a connection: is this source blocked, and by which rule?
 *
 * Immutable, so a connection decides by the rules of its accept while others change them. A decision costs the same for
 * ten rules and for a hundred thousand, a change copies one path. It keeps no order among rules of one type: an address
 * inside several blocked networks is blocked by the narrowest. The rate limit is not here; it has state.
 */
import { Result } from "effect"
import type { IpAddress } from "../net/IpAddress.ts"
import { parseIpOrCidr, type Cidr, type FirewallRule } from "../snapshot/FirewallRule.ts"
import { PrefixTrie } from "./PrefixTrie.ts"

/** How many rules there are of each type. */
export type FirewallCounts = Readonly<Record<FirewallRule["type"], number>>

export class Firewall {
  static readonly empty = new Firewall(PrefixTrie.empty(), PrefixTrie.empty(), new Map())

  readonly counts: FirewallCounts
  /** Addresses, as networks of full length. */
  readonly #ips: PrefixTrie<FirewallRule>
  readonly #cidrs: PrefixTrie<FirewallRule>
  readonly #countries: ReadonlyMap<string, FirewallRule>

  private constructor(
    ips: PrefixTrie<FirewallRule>,
    cidrs: PrefixTrie<FirewallRule>,
    countries: ReadonlyMap<string, FirewallRule>
  ) {
    this.#ips = ips
    this.#cidrs = cidrs
    this.#countries = countries
    this.counts = { ip: ips.size, cidr: cidrs.size, country: countries.size }
  }

  /** The firewall of these rules, each canonical; a repeated one counts once. */
  static compile(rules: Iterable<FirewallRule>): Firewall {
    const ips: Array<readonly [Cidr, FirewallRule]> = []
    const cidrs: Array<readonly [Cidr, FirewallRule]> = []
    const countries = new Map<string, FirewallRule>()
    for (const rule of rules) {
      if (rule.type === "ip") ips.push([networkOf(rule), rule])
      else if (rule.type === "cidr") cidrs.push([networkOf(rule), rule])
      else countries.set(rule.value, rule)
    }
    return new Firewall(PrefixTrie.from(ips), PrefixTrie.from(cidrs), countries)
  }

  /** The rule that blocks a connection from `ip` in `country` ("": unknown, which no rule blocks): IP, CIDR, country. */
  match(ip: IpAddress, country: string): FirewallRule | undefined {
    return this.#ips.match(ip) ?? this.#cidrs.match(ip) ?? this.#countries.get(country)
  }

  /** With `rule`; the same object when it is there already. */
  add(rule: FirewallRule): Firewall {
    switch (rule.type) {
      case "ip": {
        const address = networkOf(rule)
        return this.#ips.has(address) ? this : new Firewall(this.#ips.add(address, rule), this.#cidrs, this.#countries)
      }
      case "cidr": {
        const network = networkOf(rule)
        return this.#cidrs.has(network)
          ? this
          : new Firewall(this.#ips, this.#cidrs.add(network, rule), this.#countries)
      }
      case "country":
        return this.#countries.has(rule.value)
          ? this
          : new Firewall(this.#ips, this.#cidrs, new Map([...this.#countries, [rule.value, rule]]))
    }
  }

  /** Without `rule`; the same object when it is not there. */
  remove(rule: FirewallRule): Firewall {
    switch (rule.type) {
      case "ip": {
        const ips = this.#ips.remove(networkOf(rule))
        return ips === this.#ips ? this : new Firewall(ips, this.#cidrs, this.#countries)
      }
      case "cidr": {
        const cidrs = this.#cidrs.remove(networkOf(rule))
        return cidrs === this.#cidrs ? this : new Firewall(this.#ips, cidrs, this.#countries)
      }
      case "country": {
        if (!this.#countries.has(rule.value)) return this
        const countries = new Map(this.#countries)
        countries.delete(rule.value)
        return new Firewall(this.#ips, this.#cidrs, countries)
      }
    }
  }
}

/** The network of an `ip` or `cidr` rule. A rule that is none was made past `parseFirewallRule`: a defect. */
const networkOf = (rule: FirewallRule): Cidr =>
  Result.getOrThrowWith(
    parseIpOrCidr(rule.value),
    (problem) => new Error(`Firewall rule ${rule.type} ${rule.value} ${problem}.`)
  )
