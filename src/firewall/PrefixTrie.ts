/**
 * A persistent set of networks, IPv4 and IPv6 apart, that answers which of them an address is in.
 *
 * A look-up costs at most one step a prefix length in use on its path, whatever the number of networks, and allocates
 * nothing. `add` and `remove` share with the older version what they do not change, so that a connection that holds
 * that one goes on with it.
 */
import type { IpAddress } from "../net/IpAddress.ts"
import type { Cidr } from "../snapshot/FirewallRule.ts"
import { PrefixTree } from "./PrefixTree.ts"

export class PrefixTrie {
  static readonly empty = new PrefixTrie(PrefixTree.empty(1), PrefixTree.empty(4))

  readonly #ipv4: PrefixTree
  readonly #ipv6: PrefixTree

  private constructor(ipv4: PrefixTree, ipv6: PrefixTree) {
    this.#ipv4 = ipv4
    this.#ipv6 = ipv6
  }

  /** How many networks it holds. */
  get size(): number {
    return this.#ipv4.size + this.#ipv6.size
  }

  /** The prefix length of the narrowest network that contains `ip`. */
  match(ip: IpAddress): number | undefined {
    return this.#of(ip).match(ip)
  }

  /** Whether this very network was added; a wider one that contains it does not count. */
  has(network: Cidr): boolean {
    return this.#of(network.ip).has(network)
  }

  /** With all of `networks`; the same object when it holds them already. */
  add(networks: Iterable<Cidr>): PrefixTrie {
    const { ipv4, ipv6 } = byFamily(networks)
    return this.with(this.#ipv4.add(ipv4), this.#ipv6.add(ipv6))
  }

  /** Without any of `networks`; the same object when it holds none. */
  remove(networks: Iterable<Cidr>): PrefixTrie {
    const { ipv4, ipv6 } = byFamily(networks)
    return this.with(this.#ipv4.remove(ipv4), this.#ipv6.remove(ipv6))
  }

  /** Does, in slices, what the next change may have to do in one go; yields how many nodes each slice copied. */
  *move(): Generator<number> {
    yield* this.#ipv4.move()
    yield* this.#ipv6.move()
  }

  /** IPv4 before IPv6, then by address, a wider network before those inside it: no order of adding shows. */
  *entries(): Generator<Cidr> {
    yield* this.#ipv4.entries()
    yield* this.#ipv6.entries()
  }

  #of({ family }: IpAddress): PrefixTree {
    return family === 4 ? this.#ipv4 : this.#ipv6
  }

  /** Not `#with`: tsc 6.0.3 then names the class by an alias that is not there yet when `empty` is made. */
  private with(ipv4: PrefixTree, ipv6: PrefixTree): PrefixTrie {
    return ipv4 === this.#ipv4 && ipv6 === this.#ipv6 ? this : new PrefixTrie(ipv4, ipv6)
  }
}

const byFamily = (networks: Iterable<Cidr>) => {
  const ipv4: Array<Cidr> = []
  const ipv6: Array<Cidr> = []
  for (const network of networks) (network.ip.family === 4 ? ipv4 : ipv6).push(network)
  return { ipv4, ipv6 }
}
