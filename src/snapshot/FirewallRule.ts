/** The firewall's rules as an operator writes them, in canonical form. */
import { Result } from "effect"
import { ipv4FromWord, ipv6FromWords, parseIpAddress, type AddressWords, type IpAddress } from "../net/IpAddress.ts"

/** One rule. `value` is canonical: an address, a `prefix/length`, or two upper-case letters (ISO 3166-1 alpha-2). */
export interface FirewallRule {
  readonly type: "ip" | "cidr" | "country"
  readonly value: string
}

/** A network as numbers: the prefix (host bits zero) and how many of its bits count. */
export interface Network {
  readonly ip: AddressWords
  /** 0 to 32 for IPv4, 0 to 128 for IPv6. */
  readonly length: number
}

/** A network that can be written, too. */
export interface Cidr extends Network {
  readonly ip: IpAddress
}

/** Canonicalises `value` as a rule of `type`; fails with the end of a sentence that says what is wrong. */
export const parseFirewallRule = (type: FirewallRule["type"], value: string): Result.Result<FirewallRule, string> => {
  switch (type) {
    case "ip": {
      const ip = parseIpAddress(value)
      return ip === undefined ? Result.fail("is no IP address") : Result.succeed({ type, value: ip.text })
    }
    case "cidr":
      return Result.map(parseCidr(value), (cidr) => ({ type, value: formatCidr(cidr) }))
    case "country":
      return COUNTRY_CODE.test(value) ? Result.succeed({ type, value }) : Result.fail("is not two upper-case letters")
  }
}

/**
 * `"10.0.0.0/8"`, `"2001:db8::/32"`. A prefix inside `::ffff:0:0/96` becomes its IPv4 network.
 * Fails with the end of a sentence.
 */
export const parseCidr = (input: string): Result.Result<Cidr, string> => {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(input)
  const ip = match === null ? undefined : parseIpAddress(match[1]!)
  if (match === null || ip === undefined) return Result.fail("is no CIDR such as 10.0.0.0/8 or 2001:db8::/32")
  const mapped = ip.family === 4 && match[1]!.includes(":")
  const length = Number(match[2]) - (mapped ? 96 : 0)
  const longest = ip.family === 4 ? 32 : 128
  if (length < 0) return Result.fail("covers more than the IPv4-mapped range ::ffff:0:0/96; write an IPv4 CIDR")
  if (length > longest) return Result.fail(`has a prefix length over ${mapped ? 128 : longest}`)
  const words = [ip.w0, ip.w1, ip.w2, ip.w3]
  if (words.some((word, i) => (word & ~wordMask(length - 32 * i)) !== 0)) {
    return Result.fail(`has host bits set beyond /${length}`)
  }
  return Result.succeed({ ip, length })
}

/** The canonical text of a network. */
export const formatCidr = ({ ip, length }: Cidr): string => `${ip.text}/${length}`

/** The network of that prefix length that `ip` is in. */
export const networkAround = ({ family, w0, w1, w2, w3 }: IpAddress, length: number): Cidr => {
  const word = (word: number, i: number) => word & wordMask(length - 32 * i)
  const ip =
    family === 4 ? ipv4FromWord(word(w0, 0)) : ipv6FromWords(word(w0, 0), word(w1, 1), word(w2, 2), word(w3, 3))
  return { ip, length }
}

/** A single address or a network, as `trusted_proxies` takes; an address is its own full-length network. */
export const parseIpOrCidr = (input: string): Result.Result<Cidr, string> => {
  if (input.includes("/")) return parseCidr(input)
  const ip = parseIpAddress(input)
  return ip === undefined
    ? Result.fail("is neither an IP address nor a CIDR")
    : Result.succeed({ ip, length: ip.family === 4 ? 32 : 128 })
}

/** The first `bits` bits of a 32-bit word set; all for 32 and more, none for 0 and less. */
export const wordMask = (bits: number): number => (bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits))

/** Two upper-case letters (ISO 3166-1 alpha-2); anything else is no country, in a rule as in a GeoIP database. */
export const COUNTRY_CODE = /^[A-Z]{2}$/
