/**
 * The nodes of a trie as integers, one after the other in one array: the garbage collector stops the program to look
 * into a hundred thousand objects, and does not look into an array of numbers.
 *
 * A node is named by where it is in the array. What it means, and which may be written to, is for `PrefixTree.ts`.
 */
import { ipv4FromWord, ipv6FromWords, type AddressWords } from "../net/IpAddress.ts"
import type { Cidr } from "../snapshot/FirewallRule.ts"

/** How many words an address of the family has. */
export type Width = 1 | 4

/** Where there is no node. */
export const NONE = 0

/**
 * A node is a network, or a fork with two children, or both. All below it shares its first `length` bits; its left child
 * goes on with a 0, its right one with a 1. It takes the words of its address, a tag, and its two children. The bits
 * after `length` are zero in a network and anything in a mere fork.
 */
export class PrefixNodes {
  readonly width: Width
  readonly #stride: number
  #words: Int32Array<ArrayBuffer>
  /** Words in use. */
  #used: number

  constructor(width: Width, room: number) {
    this.width = width
    this.#stride = width + 3
    this.#words = makeWords(room * this.#stride)
    // In the place of NONE there is nothing.
    this.#used = this.#stride
  }

  get count(): number {
    return this.#used / this.#stride
  }

  get end(): number {
    return this.#used
  }

  lengthOf(at: number): number {
    return this.#words[at + this.width]! & LENGTH
  }

  isNetwork(at: number): boolean {
    return (this.#words[at + this.width]! & NETWORK) !== 0
  }

  child(at: number, side: number): number {
    return this.#words[at + this.width + 1 + side]!
  }

  /** Bit `index` of its address. */
  bitAt(at: number, index: number): number {
    return (this.#words[at + (index >> 5)]! >>> (31 - (index & 31))) & 1
  }

  /** How many leading bits of its address are those of `ip`. */
  commonBits(at: number, { w0, w1, w2, w3 }: AddressWords): number {
    const words = this.#words
    if (words[at] !== w0) return Math.clz32(words[at]! ^ w0)
    if (this.width === 1) return 32
    if (words[at + 1] !== w1) return 32 + Math.clz32(words[at + 1]! ^ w1)
    if (words[at + 2] !== w2) return 64 + Math.clz32(words[at + 2]! ^ w2)
    return words[at + 3] === w3 ? 128 : 96 + Math.clz32(words[at + 3]! ^ w3)
  }

  cidrOf(at: number): Cidr {
    const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = this.#words.subarray(at, at + this.width)
    const ip = this.width === 1 ? ipv4FromWord(w0) : ipv6FromWords(w0, w1, w2, w3)
    return { ip, length: this.lengthOf(at) }
  }

  /** Makes a network of a node of its length: the address of a fork is anybody's below it. */
  setNetwork(at: number, ip: AddressWords): void {
    this.#write(at, ip, this.lengthOf(at) | NETWORK)
  }

  /** It has two children. */
  setFork(at: number): void {
    this.#words[at + this.width] = this.lengthOf(at)
  }

  setChild(at: number, side: number, child: number): void {
    this.#words[at + this.width + 1 + side] = child
  }

  /** A node without children. */
  make(ip: AddressWords, length: number, isNetwork: boolean): number {
    const at = this.#allocate()
    this.#write(at, ip, length | (isNetwork ? NETWORK : 0))
    return at
  }

  copy(at: number): number {
    return this.#copyOf(this.#words, at)
  }

  /**
   * With everything below it, to an array that is empty, and answers where it is; yields after every few nodes how many
   * they were. What is copied is its own list of what is left: a copy has the children of `from` until they are copied.
   */
  *copyAll(from: PrefixNodes, root: number): Generator<number, number> {
    if (root === NONE) return NONE
    const made = this.#copyOf(from.#words, root)
    for (let at = made, done = 1; at < this.#used; at += this.#stride, done++) {
      for (let side = 0; side < 2; side++) {
        const child = this.child(at, side)
        if (child !== NONE) this.setChild(at, side, this.#copyOf(from.#words, child))
      }
      if (done % COPIED_AT_ONCE === 0) yield COPIED_AT_ONCE
    }
    return made
  }

  /** Word by word: for so few, a loop is several times faster than what copies ranges. */
  #copyOf(from: Int32Array, at: number): number {
    const made = this.#allocate()
    const words = this.#words
    for (let i = 0; i < this.#stride; i++) words[made + i] = from[at + i]!
    return made
  }

  #write(at: number, { w0, w1, w2, w3 }: AddressWords, tag: number): void {
    const words = this.#words
    words[at] = w0
    if (this.width === 4) {
      words[at + 1] = w1
      words[at + 2] = w2
      words[at + 3] = w3
    }
    words[at + this.width] = tag
  }

  #allocate(): number {
    const at = this.#used
    this.#used += this.#stride
    if (this.#used > this.#words.length) this.#grow()
    return at
  }

  #grow(): void {
    const { buffer } = this.#words
    const bytes = 2 * this.#used * Int32Array.BYTES_PER_ELEMENT
    if (bytes <= buffer.maxByteLength) return buffer.resize(bytes)
    const more = makeWords(2 * this.#used)
    more.set(this.#words)
    this.#words = more
  }
}

/** Has addresses to grow into: to copy the nodes of a hundred thousand rules takes milliseconds. */
const makeWords = (count: number): Int32Array<ArrayBuffer> => {
  const bytes = count * Int32Array.BYTES_PER_ELEMENT
  return new Int32Array(new ArrayBuffer(bytes, { maxByteLength: GROWTH * bytes }))
}

/** How much larger an array becomes before it is copied to another. Costs addresses, and no memory. */
const GROWTH = 16

/** So many nodes take a fraction of a millisecond. */
const COPIED_AT_ONCE = 2000

/** The tag of a node: how many bits of its address count, and whether it is a network. */
const LENGTH = 0xff
const NETWORK = 0x100

/** Bit `index` counted from the most significant; 0 past the end, where no full-length network has a child. */
export const bitAt = ({ w0, w1, w2, w3 }: AddressWords, index: number): number => {
  const word = index < 32 ? w0 : index < 64 ? w1 : index < 96 ? w2 : index < 128 ? w3 : 0
  return (word >>> (31 - (index & 31))) & 1
}
