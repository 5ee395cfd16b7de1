/**
 * Host names in the form in which they are stored and compared: lower case, no trailing dot.
 *
 * A label is 1 to 63 letters, digits, hyphens and underscores, a name at most 253 characters (RFC 1035 2.3.4). Names
 * that are IP addresses, have a port or a wildcard are refused: no SNI name can be one (RFC 6066 3).
 */
import { Result } from "effect"
import type { Brand } from "effect"
import { parseIpAddress } from "../net/IpAddress.ts"

/** A canonical host name. */
export type Hostname = Brand.Branded<string, "mc-proxy/Hostname">

/** The longest name DNS can carry, without the trailing dot (RFC 1035 2.3.4). */
export const HOSTNAME_LENGTH_MAX = 253

/** The canonical form of `input`, or what is wrong with it as the end of a sentence: `"*.x" has a wildcard`. */
export const parseHostname = (input: string): Result.Result<Hostname, string> => {
  const name = input.endsWith(".") ? input.slice(0, -1) : input
  // Checked before it is lowered, which makes an ASCII letter of others, too: the Kelvin sign is no k.
  if (HOSTNAME.test(name) && name.length <= HOSTNAME_LENGTH_MAX && !isIpv4Like(name)) {
    return Result.succeed(name.toLowerCase() as Hostname)
  }
  return Result.fail(problemOf(name))
}

const HOSTNAME = /^[a-zA-Z0-9_-]{1,63}(?:\.[a-zA-Z0-9_-]{1,63})*$/

const LABEL = /^[a-zA-Z0-9_-]{1,63}$/

/** Only digits and dots: an IPv4 address, or what some resolvers read as one (`127.1`, `2130706433`). */
const isIpv4Like = (name: string): boolean => /^[0-9.]+$/.test(name)

const problemOf = (name: string): string => {
  if (name === "") return "is empty"
  if (isIpv4Like(name) || parseIpAddress(name.replace(/^\[|\]$/g, "")) !== undefined) return "is an IP address"
  if (name.includes("*")) return "has a wildcard"
  if (/:[0-9]*$/.test(name)) return "has a port"
  if (name.length > HOSTNAME_LENGTH_MAX) return `is longer than ${HOSTNAME_LENGTH_MAX} characters`
  const label = name.split(".").find((part) => !LABEL.test(part)) ?? ""
  if (label === "") return "has an empty label"
  if (label.length > 63) return "has a label longer than 63 characters"
  return "has a label with a character other than letters, digits, hyphens and underscores"
}
