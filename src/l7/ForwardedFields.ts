/**
 * What a backend is told of the client: `X-Forwarded-For`, `-Proto`, `-Host` and `X-Real-IP`, said by us alone.
 *
 * Whatever the client sent of them is removed, `Forwarded` (RFC 7239) too, so that a backend can believe what it reads.
 */
import type { IpAddress } from "../net/IpAddress.ts"
import type { Fields } from "./Message.ts"

/** A request's end-to-end fields, names in lower case, with those about `client` and `authority` in place of its own. */
export const withForwarded = (fields: Fields, client: IpAddress, authority: string): Array<string> => {
  const forwarded: Array<string> = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (!isForwarding(fields[i]!)) forwarded.push(fields[i]!, fields[i + 1]!)
  }
  forwarded.push("x-forwarded-for", client.text, "x-forwarded-proto", "https", "x-forwarded-host", authority)
  forwarded.push("x-real-ip", client.text)
  return forwarded
}

/**
 * Application servers that hand fields over as variables (CGI, RFC 3875 4.1.18) take `_` for `-`, so that a client could
 * pass off `x_real_ip` as ours.
 */
const isForwarding = (name: string): boolean => {
  const first = name.charCodeAt(0)
  if (first !== LETTER_X && first !== LETTER_F) return false
  return FORWARDING.has(name) || (name.includes("_") && FORWARDING.has(name.replaceAll("_", "-")))
}

const FORWARDING: ReadonlySet<string> = new Set([
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip"
])

const LETTER_F = 102
const LETTER_X = 120
