/**
 * The networks of one address family as a persistent binary trie with path compression: `add` and `remove` leave older
 * versions as they were, and copy no more than the paths that they change.
 *
 * The versions share one array of nodes, which each adds to and none writes to twice. What no version needs any more
 * stays in it until it is most of the array; the next version that is changed then moves to an array of its own first, or
 * has been moved before, in slices.
 */
import type { AddressWords, IpAddress } from "../net/IpAddress.ts"
import type { Cidr, Network } from "../snapshot/FirewallRule.ts"
import { bitAt, NONE, PrefixNodes, type Width } from "./PrefixNodes.ts"

export class PrefixTree {
  readonly size: number
  /** Both may change, and mean the same: a version can move. */
  #nodes: PrefixNodes
  #root: number

  /** For `empty` and `PrefixTreeDraft.finish`. */
  constructor(size: number, nodes: PrefixNodes, root: number) {
    this.size = size
    this.#nodes = nodes
    this.#root = root
  }

  static empty(width: Width): PrefixTree {
    return new PrefixTree(0, new PrefixNodes(width, 1), NONE)
  }

  /** How many nodes its array has, those that it does not need any more included. */
  get nodeCount(): number {
    return this.#nodes.count
  }

  /** The length of the narrowest network that contains `ip`. */
  match(ip: IpAddress): number | undefined {
    const nodes = this.#nodes
    let at = this.#root
    let narrowest: number | undefined
    while (at !== NONE) {
      const length = nodes.lengthOf(at)
      if (nodes.commonBits(at, ip) < length) return narrowest
      if (nodes.isNetwork(at)) narrowest = length
      at = nodes.child(at, bitAt(ip, length))
    }
    return narrowest
  }

  /** Whether this very network was added; a wider one that contains it does not count. */
  has({ ip, length }: Network): boolean {
    const nodes = this.#nodes
    let at = this.#root
    while (at !== NONE && nodes.lengthOf(at) < length && nodes.commonBits(at, ip) >= nodes.lengthOf(at)) {
      at = nodes.child(at, bitAt(ip, nodes.lengthOf(at)))
    }
    return at !== NONE && nodes.isNetwork(at) && nodes.lengthOf(at) === length && nodes.commonBits(at, ip) >= length
  }

  /** The next version, before anything of it is changed. */
  draft(): PrefixTreeDraft {
    // All that is empty shares one array, which is not added to.
    if (this.size === 0) return new PrefixTreeDraft(this, new PrefixNodes(this.#nodes.width, NODES_MIN), NONE)
    for (const _ of this.move());
    return new PrefixTreeDraft(this, this.#nodes, this.#root)
  }

  /** By address, a wider network before those inside it. */
  *entries(): Generator<Cidr> {
    yield* entriesOf(this.#nodes, this.#root)
  }

  /**
   * Moves to an array of its own, without what it does not need, if it is time: yields after every few nodes how many
   * they were, and others may look into it meanwhile. The next change does not have to, then.
   */
  *move(): Generator<number> {
    if (this.nodeCount <= NODES_A_NETWORK_MAX * this.size + NODES_MIN) return
    const own = new PrefixNodes(this.#nodes.width, NODES_A_NETWORK_MAX * this.size)
    this.#root = yield* own.copyAll(this.#nodes, this.#root)
    this.#nodes = own
  }
}

/** A trie has less than two nodes for each network, and may leave as many behind until it moves, which takes long. */
export const NODES_A_NETWORK_MAX = 4

/** So few nodes are never worth a move. */
export const NODES_MIN = 256

/** The next version while it is made. Nodes that are its own are written to in place; others are copied before. */
export class PrefixTreeDraft {
  readonly #before: PrefixTree
  readonly #nodes: PrefixNodes
  /** Nodes from here on are its own. */
  readonly #own: number
  #size: number
  #root: number
  #changed = false

  constructor(before: PrefixTree, nodes: PrefixNodes, root: number) {
    this.#before = before
    this.#nodes = nodes
    this.#own = nodes.end
    this.#size = before.size
    this.#root = root
  }

  /** Keeps nothing of the argument, which may be written to afterwards. */
  add({ ip, length }: Network): void {
    this.#root = this.#with(this.#root, ip, length)
  }

  /** Keeps nothing of the argument, which may be written to afterwards. */
  remove({ ip, length }: Network): void {
    this.#root = this.#without(this.#root, ip, length)
  }

  /** The next version, and the end of the draft; the one before where nothing was changed. */
  finish(): PrefixTree {
    if (!this.#changed) return this.#before
    return this.#size === 0 ? PrefixTree.empty(this.#nodes.width) : new PrefixTree(this.#size, this.#nodes, this.#root)
  }

  /** What takes the place of `at` when a network is added to it: itself, where it is there or all below is written in place. */
  #with(at: number, ip: AddressWords, length: number): number {
    const nodes = this.#nodes
    if (at === NONE) return this.#made(ip, length)
    const itsLength = nodes.lengthOf(at)
    const common = Math.min(nodes.commonBits(at, ip), itsLength, length)
    if (common === itsLength) {
      if (common < length) {
        const side = bitAt(ip, common)
        return this.#withChild(at, side, this.#with(nodes.child(at, side), ip, length))
      }
      if (nodes.isNetwork(at)) return at
      this.#count(1)
      const own = this.#ownOf(at)
      nodes.setNetwork(own, ip)
      return own
    }
    const isAbove = common === length
    const above = isAbove ? this.#made(ip, length) : nodes.make(ip, common, false)
    nodes.setChild(above, nodes.bitAt(at, common), at)
    if (!isAbove) nodes.setChild(above, bitAt(ip, common), this.#made(ip, length))
    return above
  }

  /** What takes the place of `at` without a network: itself, where it is not there or all below is written in place. */
  #without(at: number, ip: AddressWords, length: number): number {
    const nodes = this.#nodes
    if (at === NONE) return NONE
    const itsLength = nodes.lengthOf(at)
    if (itsLength > length || nodes.commonBits(at, ip) < itsLength) return at
    const [left, right] = [nodes.child(at, 0), nodes.child(at, 1)]
    if (itsLength === length) {
      if (!nodes.isNetwork(at)) return at
      this.#count(-1)
      if (left === NONE || right === NONE) return left === NONE ? right : left
      const own = this.#ownOf(at)
      nodes.setFork(own)
      return own
    }
    const side = bitAt(ip, itsLength)
    const below = this.#without(side === 0 ? left : right, ip, length)
    // A node that is no network has two children, or is none.
    if (below === NONE && !nodes.isNetwork(at)) return side === 0 ? right : left
    return this.#withChild(at, side, below)
  }

  /** `at` with that child, in place where it is its own. */
  #withChild(at: number, side: number, child: number): number {
    const nodes = this.#nodes
    if (nodes.child(at, side) === child) return at
    const own = this.#ownOf(at)
    nodes.setChild(own, side, child)
    return own
  }

  #made(ip: AddressWords, length: number): number {
    this.#count(1)
    return this.#nodes.make(ip, length, true)
  }

  #count(more: number): void {
    this.#size += more
    this.#changed = true
  }

  #ownOf(at: number): number {
    return at >= this.#own ? at : this.#nodes.copy(at)
  }
}

const entriesOf = function* (nodes: PrefixNodes, at: number): Generator<Cidr> {
  if (at === NONE) return
  if (nodes.isNetwork(at)) yield nodes.cidrOf(at)
  yield* entriesOf(nodes, nodes.child(at, 0))
  yield* entriesOf(nodes, nodes.child(at, 1))
}
