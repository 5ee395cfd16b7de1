/**
 * A hash table from rate-limit keys to slots: an IPv4 address is its own key, an IPv6 address shares that of its /64,
 * because a single client usually has a whole /64 to choose from.
 *
 * Chained in typed arrays of fixed size, so that it never rehashes. The caller brings the slot, one a key.
 */
import type { IpAddress } from "../net/IpAddress.ts"
import { NONE } from "./SlotList.ts"

export class SourceTable {
  readonly #family: Uint8Array
  /** The words of the /64. An IPv4 address fills the first, and its second is 0. */
  readonly #w0: Int32Array
  readonly #w1: Int32Array
  /** The first slot of each bucket's chain, and the one after each slot, plus one: zeros are empty. */
  readonly #chains: Int32Array
  readonly #after: Int32Array
  readonly #scramble: Int32Array

  /** `random` answers with any number whose lower 32 bits are random. */
  constructor(slotsMax: number, random: () => number) {
    this.#family = new Uint8Array(slotsMax)
    this.#w0 = new Int32Array(slotsMax)
    this.#w1 = new Int32Array(slotsMax)
    this.#chains = new Int32Array(2 ** Math.ceil(Math.log2(slotsMax)))
    this.#after = new Int32Array(slotsMax)
    this.#scramble = Int32Array.from({ length: 8 * 256 }, random)
  }

  /** The slot of the key of `ip`, or `NONE`. */
  find(ip: IpAddress): number {
    let slot = this.#chains[this.#bucket(ip.w0, ip.w1)]! - 1
    while (
      slot !== NONE &&
      !(this.#w0[slot] === ip.w0 && this.#w1[slot] === ip.w1 && this.#family[slot] === ip.family)
    ) {
      slot = this.#after[slot]! - 1
    }
    return slot
  }

  /** Puts the key of `ip`, which must not be here, at `slot`. */
  add(ip: IpAddress, slot: number): void {
    this.#family[slot] = ip.family
    this.#w0[slot] = ip.w0
    this.#w1[slot] = ip.w1
    const bucket = this.#bucket(ip.w0, ip.w1)
    this.#after[slot] = this.#chains[bucket]!
    this.#chains[bucket] = slot + 1
  }

  /** Takes out the key at `slot`, which must be here. */
  remove(slot: number): void {
    const bucket = this.#bucket(this.#w0[slot]!, this.#w1[slot]!)
    let before = this.#chains[bucket]! - 1
    if (before === slot) {
      this.#chains[bucket] = this.#after[slot]!
      return
    }
    while (this.#after[before]! - 1 !== slot) before = this.#after[before]! - 1
    this.#after[before] = this.#after[slot]!
  }

  /**
   * Tabulation hashing: a random word for each value of each byte. Whoever owns billions of /64s cannot aim them at one
   * chain without knowing the tables.
   */
  #bucket(w0: number, w1: number): number {
    const words = this.#scramble
    const hash =
      words[w0 & 255]! ^
      words[256 + ((w0 >>> 8) & 255)]! ^
      words[512 + ((w0 >>> 16) & 255)]! ^
      words[768 + (w0 >>> 24)]! ^
      words[1024 + (w1 & 255)]! ^
      words[1280 + ((w1 >>> 8) & 255)]! ^
      words[1536 + ((w1 >>> 16) & 255)]! ^
      words[1792 + (w1 >>> 24)]!
    return hash & (this.#chains.length - 1)
  }
}
