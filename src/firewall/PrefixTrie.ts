/**
 * A persistent map from networks to values that answers which network an address is in.
 *
 * A binary trie with path compression, IPv4 and IPv6 apart. A look-up costs at most one step a prefix length in use on
 * its path, whatever the number of networks, and allocates nothing. `add` and `remove` copy the path they change and
 * share the rest, so that a connection that holds an older version goes on with it.
 */
import { ipv4FromWord, ipv6FromWords, type IpAddress } from "../net/IpAddress.ts"
import type { Cidr } from "../snapshot/FirewallRule.ts"

export class PrefixTrie<V extends NonNullable<unknown>> {
  /** How many networks it holds. */
  readonly size: number
  readonly #ipv4: Node<V> | undefined
  readonly #ipv6: Node<V> | undefined

  private constructor(size: number, ipv4: Node<V> | undefined, ipv6: Node<V> | undefined) {
    this.size = size
    this.#ipv4 = ipv4
    this.#ipv6 = ipv6
  }

  static readonly #empty = new PrefixTrie<never>(0, undefined, undefined)

  static empty<V extends NonNullable<unknown>>(): PrefixTrie<V> {
    return PrefixTrie.#empty
  }

  /** Of all these networks at once, which is several times faster than one `add` after another. The last of equals wins. */
  static from<V extends NonNullable<unknown>>(entries: Iterable<Entry<V>>): PrefixTrie<V> {
    const ipv4: Array<Entry<V>> = []
    const ipv6: Array<Entry<V>> = []
    for (const entry of entries) (entry[0].ip.family === 4 ? ipv4 : ipv6).push(entry)
    const [networks4, networks6] = [sorted(ipv4), sorted(ipv6)]
    return new PrefixTrie(
      networks4.length + networks6.length,
      built(networks4, 0, networks4.length),
      built(networks6, 0, networks6.length)
    )
  }

  /** The value of the narrowest network that contains `ip`. */
  match(ip: IpAddress): V | undefined {
    let node = ip.family === 4 ? this.#ipv4 : this.#ipv6
    let narrowest: V | undefined
    while (node !== undefined && commonBits(node, ip) >= node.length) {
      if (node.value !== undefined) narrowest = node.value
      node = bitAt(ip, node.length) === 0 ? node.left : node.right
    }
    return narrowest
  }

  /** Whether this very network was added; a wider one that contains it does not count. */
  has({ ip, length }: Cidr): boolean {
    let node = ip.family === 4 ? this.#ipv4 : this.#ipv6
    while (node !== undefined && node.length < length && commonBits(node, ip) >= node.length) {
      node = bitAt(ip, node.length) === 0 ? node.left : node.right
    }
    return node !== undefined && node.value !== undefined && node.length === length && commonBits(node, ip) >= length
  }

  /** With `value` for `cidr`, in place of one it had. */
  add(cidr: Cidr, value: V): PrefixTrie<V> {
    const size = this.has(cidr) ? this.size : this.size + 1
    return cidr.ip.family === 4
      ? new PrefixTrie(size, inserted(this.#ipv4, cidr.ip, cidr.length, value), this.#ipv6)
      : new PrefixTrie(size, this.#ipv4, inserted(this.#ipv6, cidr.ip, cidr.length, value))
  }

  /** Without `cidr`; the same object when it did not hold it. */
  remove(cidr: Cidr): PrefixTrie<V> {
    if (!this.has(cidr)) return this
    return cidr.ip.family === 4
      ? new PrefixTrie(this.size - 1, removed(this.#ipv4, cidr.ip, cidr.length), this.#ipv6)
      : new PrefixTrie(this.size - 1, this.#ipv4, removed(this.#ipv6, cidr.ip, cidr.length))
  }

  /** IPv4 before IPv6, then by address, a wider network before those inside it: no order of adding shows. */
  *entries(): Generator<Entry<V>> {
    yield* entriesOf(this.#ipv4, ({ w0 }) => ipv4FromWord(w0))
    yield* entriesOf(this.#ipv6, ({ w0, w1, w2, w3 }) => ipv6FromWords(w0, w1, w2, w3))
  }
}

/** Four big-endian words of which the first bits count. An `IpAddress` is one. */
interface Words {
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
}

/**
 * A network with a value, or a fork with two children, or both. Everything below shares its first `length` bits; `left`
 * goes on with a 0, `right` with a 1. The bits after `length` are zero in a network and anything in a mere fork.
 */
interface Node<V> extends Words {
  readonly length: number
  readonly value: V | undefined
  readonly left: Node<V> | undefined
  readonly right: Node<V> | undefined
}

type Tree<V> = Node<V> | undefined

type Entry<V> = readonly [Cidr, V]

/** The tree of the networks `from` to `to` of a list in the order of `byNetwork` that holds none twice. */
const built = <V>(networks: ReadonlyArray<Entry<V>>, from: number, to: number): Tree<V> => {
  if (from === to) return undefined
  const [first, value] = networks[from]!
  const [last] = networks[to - 1]!
  // The first is also the widest of those that start where it does, so none in between has fewer bits.
  const length = Math.min(commonBits(first.ip, last.ip), first.length)
  const isNetwork = first.length === length
  const below = isNetwork ? from + 1 : from
  const right = firstWithBit(networks, below, to, length)
  return makeNode(
    first.ip,
    length,
    isNetwork ? value : undefined,
    built(networks, below, right),
    built(networks, right, to)
  )
}

/** Where the networks with a 1 at `index` start; they all share the bits before. */
const firstWithBit = (networks: ReadonlyArray<Entry<unknown>>, from: number, to: number, index: number) => {
  let low = from
  let high = to
  while (low < high) {
    const middle = (low + high) >>> 1
    if (bitAt(networks[middle]![0].ip, index) === 0) low = middle + 1
    else high = middle
  }
  return low
}

/** In the order of `entries`, of equal networks only the last. */
const sorted = <V>(networks: Array<Entry<V>>): ReadonlyArray<Entry<V>> =>
  networks.sort(byNetwork).filter((entry, i, all) => i + 1 === all.length || byNetwork(entry, all[i + 1]!) !== 0)

const byNetwork = ([a]: Entry<unknown>, [b]: Entry<unknown>): number =>
  compareWords(a.ip.w0, b.ip.w0) ||
  compareWords(a.ip.w1, b.ip.w1) ||
  compareWords(a.ip.w2, b.ip.w2) ||
  compareWords(a.ip.w3, b.ip.w3) ||
  a.length - b.length

/** Words are signed; addresses are not. */
const compareWords = (a: number, b: number): number => (a >>> 0) - (b >>> 0)

const inserted = <V>(node: Tree<V>, words: Words, length: number, value: V): Node<V> => {
  if (node === undefined) return makeNode(words, length, value, undefined, undefined)
  const common = Math.min(commonBits(node, words), node.length, length)
  if (common === length) {
    if (node.length === length) return makeNode(words, length, value, node.left, node.right)
    return bitAt(node, length) === 0
      ? makeNode(words, length, value, node, undefined)
      : makeNode(words, length, value, undefined, node)
  }
  if (common < node.length) {
    const leaf = makeNode<V>(words, length, value, undefined, undefined)
    return bitAt(words, common) === 0
      ? makeNode(words, common, undefined, leaf, node)
      : makeNode(words, common, undefined, node, leaf)
  }
  return bitAt(words, common) === 0
    ? makeNode(node, node.length, node.value, inserted(node.left, words, length, value), node.right)
    : makeNode(node, node.length, node.value, node.left, inserted(node.right, words, length, value))
}

/** `node` without a network that it holds. */
const removed = <V>(node: Tree<V>, words: Words, length: number): Tree<V> => {
  if (node === undefined) return undefined
  if (node.length === length) return compressed(node, undefined, node.left, node.right)
  return bitAt(words, node.length) === 0
    ? compressed(node, node.value, removed(node.left, words, length), node.right)
    : compressed(node, node.value, node.left, removed(node.right, words, length))
}

/** A node in the place of `node`, or its only child when it would be neither a network nor a fork. */
const compressed = <V>(node: Node<V>, value: V | undefined, left: Tree<V>, right: Tree<V>): Tree<V> =>
  value === undefined && (left === undefined || right === undefined)
    ? (left ?? right)
    : makeNode(node, node.length, value, left, right)

/** The only place that makes nodes, so that all have one shape and the look-up's loads stay monomorphic. */
const makeNode = <V>(words: Words, length: number, value: V | undefined, left: Tree<V>, right: Tree<V>): Node<V> => ({
  w0: words.w0,
  w1: words.w1,
  w2: words.w2,
  w3: words.w3,
  length,
  value,
  left,
  right
})

const entriesOf = function* <V>(node: Tree<V>, ipOf: (words: Words) => IpAddress): Generator<Entry<V>> {
  if (node === undefined) return
  if (node.value !== undefined) yield [{ ip: ipOf(node), length: node.length }, node.value]
  yield* entriesOf(node.left, ipOf)
  yield* entriesOf(node.right, ipOf)
}

/** How many leading bits are equal. IPv4 addresses have zero in their last words, so two equal ones share 128. */
const commonBits = (a: Words, b: Words): number => {
  if (a.w0 !== b.w0) return Math.clz32(a.w0 ^ b.w0)
  if (a.w1 !== b.w1) return 32 + Math.clz32(a.w1 ^ b.w1)
  if (a.w2 !== b.w2) return 64 + Math.clz32(a.w2 ^ b.w2)
  return a.w3 === b.w3 ? 128 : 96 + Math.clz32(a.w3 ^ b.w3)
}

/** Bit `index` counted from the most significant; 0 past the end, where no full-length network has a child. */
const bitAt = (words: Words, index: number): number => {
  const word = index < 32 ? words.w0 : index < 64 ? words.w1 : index < 96 ? words.w2 : index < 128 ? words.w3 : 0
  return (word >>> (31 - (index & 31))) & 1
}
