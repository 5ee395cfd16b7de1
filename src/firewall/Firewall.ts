/**
 * The firewall's rules in the form that answers a connection: is this source blocked, and by which rule?
 *
 * Immutable, so a connection decides by the rules of its accept while others change them. A decision costs the same for
 * ten rules and for a hundred thousand, and one rule more copies one path. It keeps no order among rules of one type: an
 * address inside several blocked networks is blocked by the narrowest. The rate limit is not here; it has state.
 */
import { Result } from "effect"
import { ipv4Word, type IpAddress } from "../net/IpAddress.ts"
import {
  formatCidr,
  networkAround,
  parseIpOrCidr,
  wordMask,
  type FirewallRule,
  type Network
} from "../snapshot/FirewallRule.ts"
import { PrefixTrie, type PrefixTrieDraft } from "./PrefixTrie.ts"

/** How many rules there are of each type. */
export type FirewallCounts = Readonly<Record<FirewallRule["type"], number>>

export class Firewall {
  static readonly empty = new Firewall(PrefixTrie.empty, PrefixTrie.empty, new Set())

  readonly counts: FirewallCounts
  /** Addresses, as networks of full length. */
  readonly #ips: PrefixTrie
  readonly #cidrs: PrefixTrie
  readonly #countries: ReadonlySet<string>

  /** For `empty` and `FirewallDraft.finish`. */
  constructor(ips: PrefixTrie, cidrs: PrefixTrie, countries: ReadonlySet<string>) {
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

  /** The next version, to be changed. */
  draft(): FirewallDraft {
    return new FirewallDraft(this.#ips.draft(), this.#cidrs.draft(), new Set(this.#countries))
  }
}

/** The next version while it is made: however many rules come and go, each path is copied once. */
export class FirewallDraft {
  readonly #ips: PrefixTrieDraft
  readonly #cidrs: PrefixTrieDraft
  readonly #countries: Set<string>

  constructor(ips: PrefixTrieDraft, cidrs: PrefixTrieDraft, countries: Set<string>) {
    this.#ips = ips
    this.#cidrs = cidrs
    this.#countries = countries
  }

  /** Takes a canonical rule; nothing is different when it is there already. */
  add(rule: FirewallRule): void {
    if (rule.type === "country") this.#countries.add(rule.value)
    else this.#of(rule).add(networkOf(rule))
  }

  /** Takes a canonical rule; nothing is different when it is not there. */
  remove(rule: FirewallRule): void {
    if (rule.type === "country") this.#countries.delete(rule.value)
    else this.#of(rule).remove(networkOf(rule))
  }

  /** The next version, and the end of the draft. */
  finish(): Firewall {
    return new Firewall(this.#ips.finish(), this.#cidrs.finish(), this.#countries)
  }

  #of({ type }: FirewallRule): PrefixTrieDraft {
    return type === "ip" ? this.#ips : this.#cidrs
  }
}

/**
 * The network of an `ip` or `cidr` rule, until the next is asked for: where it can be, it is one object for all. A hundred
 * thousand of their own, each dropped at once, had V8 make them where only a full collection finds them ("pretenuring"),
 * which stops the connections for some milliseconds. A rule that is none was made past `parseFirewallRule`: a defect.
 */
const networkOf = (rule: FirewallRule): Network =>
  readIpv4(rule.value)
    ? READ
    : Result.getOrThrowWith(
        parseIpOrCidr(rule.value),
        (problem) => new Error(`Firewall rule ${rule.type} ${rule.value} ${problem}.`)
      )

/** Reads `10.0.0.1` or `10.0.0.0/8` into `READ`, unless it is neither. */
const readIpv4 = (value: string): boolean => {
  const slash = value.indexOf("/")
  const word = ipv4Word(value, slash < 0 ? value.length : slash)
  const length = slash < 0 ? 32 : Number(value.slice(slash + 1))
  if (word === undefined || !(length <= 32) || (word & ~wordMask(length)) !== 0) return false
  READ.ip.w0 = word
  READ.length = length
  return true
}

const READ = { ip: { family: 4 as const, w0: 0, w1: 0, w2: 0, w3: 0 }, length: 0 }
