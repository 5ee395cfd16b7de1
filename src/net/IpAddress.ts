/**
 * IP addresses as the proxy compares them: canonical text (RFC 5952) and 32-bit words.
 *
 * An IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) is its IPv4 address, everywhere, so that no rule can be walked around
 * by choosing the family. Zones (`%eth0`) are refused: they name an interface, not a peer.
 */

/** An address as numbers. Big-endian words as signed 32-bit integers; IPv4 uses `w0` alone, its other words are 0. */
export interface AddressWords {
  readonly family: 4 | 6
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
}

/** An IPv4 or IPv6 address. Equal addresses have equal `text`. */
export interface IpAddress extends AddressWords {
  /** RFC 5952 text, or dotted decimal. */
  readonly text: string
}

/** Parses dotted decimal or IPv6 text in any legal spelling; `undefined` when it is neither. */
export const parseIpAddress = (input: string): IpAddress | undefined =>
  input.includes(":") ? parseIpv6(input) : parseIpv4(input)

/** The IPv4 address of a signed or unsigned 32-bit word, most significant octet first. */
export const ipv4FromWord = (word: number): IpAddress => ({
  family: 4,
  text: `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`,
  w0: word | 0,
  w1: 0,
  w2: 0,
  w3: 0
})

/** The address of four big-endian words; a mapped one becomes its IPv4 address. */
export const ipv6FromWords = (w0: number, w1: number, w2: number, w3: number): IpAddress =>
  w0 === 0 && w1 === 0 && w2 === 0xffff
    ? ipv4FromWord(w3)
    : { family: 6, text: formatIpv6(w0, w1, w2, w3), w0: w0 | 0, w1: w1 | 0, w2: w2 | 0, w3: w3 | 0 }

const parseIpv4 = (input: string): IpAddress | undefined => {
  const word = ipv4Word(input)
  return word === undefined ? undefined : ipv4FromWord(word)
}

/** Dotted decimal, up to `end`, to its signed word. Leading zeros are refused: some read them as octal. */
export const ipv4Word = (input: string, end: number = input.length): number | undefined => {
  let word = 0
  let octets = 0
  let value = -1
  for (let i = 0; i <= end; i++) {
    const code = i < end ? input.charCodeAt(i) : DOT
    if (code === DOT) {
      if (value < 0 || ++octets > 4) return undefined
      word = (word << 8) | value
      value = -1
    } else if (code >= ZERO && code <= NINE) {
      if (value === 0) return undefined
      value = value < 0 ? code - ZERO : value * 10 + code - ZERO
      if (value > 255) return undefined
    } else {
      return undefined
    }
  }
  return octets === 4 ? word | 0 : undefined
}

const parseIpv6 = (input: string): IpAddress | undefined => {
  const gap = input.indexOf("::")
  const head = gap < 0 ? input : input.slice(0, gap)
  const tail = gap < 0 ? "" : input.slice(gap + 2)
  if (gap >= 0 && tail.includes("::")) return undefined
  const left = head === "" ? [] : parseGroups(head, gap < 0)
  const right = tail === "" ? [] : parseGroups(tail, true)
  if (left === undefined || right === undefined) return undefined
  const missing = 8 - left.length - right.length
  if (gap < 0 ? missing !== 0 : missing < 1) return undefined
  const groups = [...left, ...Array.from({ length: missing }, () => 0), ...right]
  const word = (i: number) => (groups[i]! << 16) | groups[i + 1]!
  return ipv6FromWords(word(0), word(2), word(4), word(6))
}

/** Colon-separated groups; the last may be dotted decimal where `last` says that the address ends here. */
const parseGroups = (input: string, last: boolean): Array<number> | undefined => {
  const groups: Array<number> = []
  const parts = input.split(":")
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!
    if (last && i === parts.length - 1 && part.includes(".")) {
      const word = ipv4Word(part)
      if (word === undefined) return undefined
      groups.push(word >>> 16, word & 0xffff)
    } else if (HEX_GROUP.test(part)) {
      groups.push(parseInt(part, 16))
    } else {
      return undefined
    }
  }
  return groups.length > 8 ? undefined : groups
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
const formatIpv6 = (w0: number, w1: number, w2: number, w3: number): string => {
  const groups = [w0 >>> 16, w0 & 0xffff, w1 >>> 16, w1 & 0xffff, w2 >>> 16, w2 & 0xffff, w3 >>> 16, w3 & 0xffff]
  let start = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let run = 0
    while (i + run < 8 && groups[i + run] === 0) run++
    if (run > length) {
      start = i
      length = run
    }
    i += run
  }
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":")
  return start < 0 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`
}

const DOT = 46
const ZERO = 48
const NINE = 57
const HEX_GROUP = /^[0-9a-fA-F]{1,4}$/
