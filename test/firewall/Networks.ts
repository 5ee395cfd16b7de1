/** Random networks and addresses that overlap often, and the same questions answered by plain arithmetic. */
import fc from "fast-check"
import { ipv4FromWord, ipv6FromWords, type IpAddress } from "../../src/net/IpAddress.ts"
import type { Cidr } from "../../src/snapshot/FirewallRule.ts"

/** The address as a number of `bitsOf(ip)` bits. */
export const numberOf = ({ family, w0, w1, w2, w3 }: IpAddress): bigint =>
  (family === 4 ? [w0] : [w0, w1, w2, w3]).reduce((number, word) => (number << 32n) | BigInt(word >>> 0), 0n)

export const bitsOf = (ip: IpAddress): number => (ip.family === 4 ? 32 : 128)

export const contains = ({ ip, length }: Cidr, address: IpAddress): boolean =>
  ip.family === address.family && isPrefix(numberOf(ip), numberOf(address), BigInt(bitsOf(ip) - length))

export const isSameNetwork = (a: Cidr, b: Cidr): boolean => a.ip.text === b.ip.text && a.length === b.length

/** The narrowest of `entries` that contains `address`. */
export const narrowest = <E extends readonly [Cidr, unknown]>(
  entries: ReadonlyArray<E>,
  address: IpAddress
): E | undefined =>
  entries
    .filter(([cidr]) => contains(cidr, address))
    .reduce<E | undefined>((best, entry) => (best && best[0].length > entry[0].length ? best : entry), undefined)

/** Its first and last address, those just outside, and one in the middle. */
export const edgesOf = ({ ip, length }: Cidr): ReadonlyArray<IpAddress> => {
  const first = numberOf(ip)
  const size = 1n << BigInt(bitsOf(ip) - length)
  return [first - 1n, first, first + size / 2n, first + size - 1n, first + size].map((number) =>
    ipOf(ip.family, number)
  )
}

const isPrefix = (a: bigint, b: bigint, hostBits: bigint): boolean => a >> hostBits === b >> hostBits

const ipOf = (family: 4 | 6, number: bigint): IpAddress => {
  const word = (index: bigint) => Number(BigInt.asIntN(32, number >> (index * 32n)))
  return family === 4 ? ipv4FromWord(word(0n)) : ipv6FromWords(word(3n), word(2n), word(1n), word(0n))
}

/** Few different words, so that networks nest, touch and repeat. */
const word = fc.oneof(
  fc.constantFrom(0, -1, 0xffff, 0x0a000000, 0x80000000 | 0, 0x20010db8),
  fc.integer({ min: 0, max: 7 }),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
)

/** The last bits of one word and the first of the next, where a trie may look at the wrong one. */
const EDGES = [0, 1, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128]

/** Addresses that share all bits but one with the same other, so that networks fork at every bit. */
const neighbour = fc
  .tuple(fc.constantFrom<4 | 6>(4, 6, 6), fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...EDGES) }, fc.nat(128)))
  .map(([family, bit]) => {
    const bits = family === 4 ? 32n : 128n
    const other = family === 4 ? 0x0a000000n : 0x20010db8n << 96n
    return ipOf(family, other ^ ((1n << (bits - 1n)) >> BigInt(bit)))
  })

/** Any address; mapped ones have become IPv4. */
export const address: fc.Arbitrary<IpAddress> = fc.oneof(
  word.map(ipv4FromWord),
  fc.tuple(word, word, word, word).map((words) => ipv6FromWords(...words)),
  { weight: 2, arbitrary: neighbour }
)

export const cidr: fc.Arbitrary<Cidr> = address.chain((ip) => {
  const bits = bitsOf(ip)
  const edges = EDGES.filter((length) => length <= bits)
  return fc
    .oneof(fc.constantFrom(...edges), fc.constant(bits), fc.integer({ min: 0, max: bits }))
    .map((length): Cidr => {
      const hostBits = BigInt(bits - length)
      return { ip: ipOf(ip.family, (numberOf(ip) >> hostBits) << hostBits), length }
    })
    .filter((network) => network.ip.family === ip.family)
})
