/**
 * The networks of one address family as a persistent binary trie with path compression: `add` and `remove` leave older
 * versions as they were, and copy no more than the paths that they change.
 *
 * The versions share one array of nodes, which each adds to and none writes to twice. What no version needs any more
 * stays in it until it is most of the array; the next version that is changed then moves to an array of its own first, or
 * has been moved before, in slices.
 */
import type { IpAddress } from "../net/IpAddress.ts"
import type { Cidr } from "../snapshot/FirewallRule.ts"
import { bitAt, NONE, PrefixNodes, type Width } from "./PrefixNodes.ts"

export class PrefixTree {
  readonly size: number
  /** Both may change, and mean the same: a version can move. */
  #nodes: PrefixNodes
  #root: number

  private constructor(size: number, nodes: PrefixNodes, root: number) {
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
  has({ ip, length }: Cidr): boolean {
    return has(this.#nodes, this.#root, ip, length)
  }

  /** The same object when it has them all. */
  add(networks: ReadonlyArray<Cidr>): PrefixTree {
    if (networks.length === 0) return this
    const draft = this.#draft()
    for (const network of networks) draft.add(network)
    return this.#finish(draft)
  }

  /** The same object when it has none of them. */
  remove(networks: ReadonlyArray<Cidr>): PrefixTree {
    if (networks.length === 0 || this.size === 0) return this
    const draft = this.#draft()
    for (const network of networks) draft.remove(network)
    return this.#finish(draft)
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

  #draft(): Draft {
    // All that is empty shares one array, which is not added to.
    if (this.size === 0) return new Draft(0, new PrefixNodes(this.#nodes.width, NODES_MIN), NONE)
    for (const _ of this.move());
    return new Draft(this.size, this.#nodes, this.#root)
  }

  #finish({ changed, nodes, root, size }: Draft): PrefixTree {
    if (!changed) return this
    return size === 0 ? PrefixTree.empty(nodes.width) : new PrefixTree(size, nodes, root)
  }
}

/** A trie has less than two nodes for each network, and may leave as many behind until it moves, which takes long. */
export const NODES_A_NETWORK_MAX = 4

/** So few nodes are never worth a move. */
export const NODES_MIN = 256

/** The next version while it is made. PrefixNodes that are its own are written to in place; others are copied before. */
class Draft {
  readonly nodes: PrefixNodes
  size: number
  root: number
  changed = false
  readonly #own: number

  constructor(size: number, nodes: PrefixNodes, root: number) {
    this.size = size
    this.nodes = nodes
    this.root = root
    this.#own = nodes.end
  }

  add({ ip, length }: Cidr): void {
    if (has(this.nodes, this.root, ip, length)) return
    this.root = this.#with(this.root, ip, length)
    this.size++
    this.changed = true
  }

  remove({ ip, length }: Cidr): void {
    if (!has(this.nodes, this.root, ip, length)) return
    this.root = this.#without(this.root, ip, length)
    this.size--
    this.changed = true
  }

  /** What takes the place of `at` when a network is added to it. */
  #with(at: number, ip: IpAddress, length: number): number {
    const { nodes } = this
    if (at === NONE) return nodes.make(ip, length, true)
    const itsLength = nodes.lengthOf(at)
    const common = Math.min(nodes.commonBits(at, ip), itsLength, length)
    if (common === itsLength) {
      const own = this.#ownOf(at)
      if (common === length) {
        nodes.setNetwork(own, ip)
      } else {
        const side = bitAt(ip, common)
        nodes.setChild(own, side, this.#with(nodes.child(own, side), ip, length))
      }
      return own
    }
    const above = nodes.make(ip, common, common === length)
    nodes.setChild(above, nodes.bitAt(at, common), at)
    if (common < length) nodes.setChild(above, bitAt(ip, common), nodes.make(ip, length, true))
    return above
  }

  /** What takes the place of `at` without a network that it holds. */
  #without(at: number, ip: IpAddress, length: number): number {
    const { nodes } = this
    const [left, right] = [nodes.child(at, 0), nodes.child(at, 1)]
    if (nodes.lengthOf(at) === length) {
      if (left === NONE || right === NONE) return left === NONE ? right : left
      const own = this.#ownOf(at)
      nodes.setFork(own)
      return own
    }
    const side = bitAt(ip, nodes.lengthOf(at))
    const below = this.#without(side === 0 ? left : right, ip, length)
    // A node that is no network has two children, or is none.
    if (below === NONE && !nodes.isNetwork(at)) return side === 0 ? right : left
    const own = this.#ownOf(at)
    nodes.setChild(own, side, below)
    return own
  }

  #ownOf(at: number): number {
    return at >= this.#own ? at : this.nodes.copy(at)
  }
}

const has = (nodes: PrefixNodes, root: number, ip: IpAddress, length: number): boolean => {
  let at = root
  while (at !== NONE && nodes.lengthOf(at) < length && nodes.commonBits(at, ip) >= nodes.lengthOf(at)) {
    at = nodes.child(at, bitAt(ip, nodes.lengthOf(at)))
  }
  return at !== NONE && nodes.isNetwork(at) && nodes.lengthOf(at) === length && nodes.commonBits(at, ip) >= length
}

const entriesOf = function* (nodes: PrefixNodes, at: number): Generator<Cidr> {
  if (at === NONE) return
  if (nodes.isNetwork(at)) yield nodes.cidrOf(at)
  yield* entriesOf(nodes, nodes.child(at, 0))
  yield* entriesOf(nodes, nodes.child(at, 1))
}
