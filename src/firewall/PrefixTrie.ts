/**
 * A persistent set of networks, IPv4 and IPv6 apart, that answers which of them an address is in.
 *
 * A look-up costs at most one step a prefix length in use on its path, whatever the number of networks, and allocates
 * nothing. A next version shares with the older one what it does not change, so that a connection that holds
 * that one goes on with it.
 */
import type { AddressWords, IpAddress } from "../net/IpAddress.ts"
import type { Cidr, Network } from "../snapshot/FirewallRule.ts"
import { PrefixTree, type PrefixTreeDraft } from "./PrefixTree.ts"

export class PrefixTrie {
  static readonly empty = new PrefixTrie(PrefixTree.empty(1), PrefixTree.empty(4))

  readonly #ipv4: PrefixTree
  readonly #ipv6: PrefixTree

  /** For `empty` and `PrefixTrieDraft.finish`. */
  constructor(ipv4: PrefixTree, ipv6: PrefixTree) {
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
  has(network: Network): boolean {
    return this.#of(network.ip).has(network)
  }

  /** The next version, before anything of it is changed. */
  draft(): PrefixTrieDraft {
    return new PrefixTrieDraft(this, this.#ipv4, this.#ipv6)
  }

  /** With all of `networks`; the same object when it holds them already. */
  add(networks: Iterable<Network>): PrefixTrie {
    const draft = this.draft()
    for (const network of networks) draft.add(network)
    return draft.finish()
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

  #of({ family }: AddressWords): PrefixTree {
    return family === 4 ? this.#ipv4 : this.#ipv6
  }
}

/** The next version while it is made. */
export class PrefixTrieDraft {
  readonly #before: PrefixTrie
  readonly #ipv4: PrefixTree
  readonly #ipv6: PrefixTree
  /** Of a family that is not changed there is none. */
  #ipv4Draft: PrefixTreeDraft | undefined
  #ipv6Draft: PrefixTreeDraft | undefined

  constructor(before: PrefixTrie, ipv4: PrefixTree, ipv6: PrefixTree) {
    this.#before = before
    this.#ipv4 = ipv4
    this.#ipv6 = ipv6
  }

  /** Keeps nothing of the argument, which may be written to afterwards. */
  add(network: Network): void {
    this.#draftOf(network.ip).add(network)
  }

  /** Keeps nothing of the argument, which may be written to afterwards. */
  remove(network: Network): void {
    this.#draftOf(network.ip).remove(network)
  }

  /** The next version, and the end of this; the one before when it is the same. */
  finish(): PrefixTrie {
    const [ipv4, ipv6] = [this.#ipv4Draft?.finish() ?? this.#ipv4, this.#ipv6Draft?.finish() ?? this.#ipv6]
    return ipv4 === this.#ipv4 && ipv6 === this.#ipv6 ? this.#before : new PrefixTrie(ipv4, ipv6)
  }

  #draftOf({ family }: AddressWords): PrefixTreeDraft {
    return family === 4 ? (this.#ipv4Draft ??= this.#ipv4.draft()) : (this.#ipv6Draft ??= this.#ipv6.draft())
  }
}
