/**
 * `Host` and `:authority`: whether one is well-formed, and whether it is the name that the connection was made for.
 *
 * An authority is passed on as it was received, so only its form is checked here; what it names is compared without
 * case, port and trailing dot, on every request.
 */
import type { Hostname } from "../snapshot/Hostname.ts"

/**
 * `host [ ":" port ]` (RFC 9110 7.2). No user information, no white space and no `%`: nothing that two readers could
 * take for different hosts.
 */
export const isAuthority = (authority: string): boolean => {
  const end = hostLength(authority)
  if (end === 0 || end > HOST_LENGTH_MAX) return false
  const isLiteral = authority.charCodeAt(0) === BRACKET_OPEN
  for (let i = isLiteral ? 1 : 0; i < (isLiteral ? end - 1 : end); i++) {
    if (!isHostCode(authority.charCodeAt(i), isLiteral)) return false
  }
  if (isLiteral && (end < 3 || authority.charCodeAt(end - 1) !== BRACKET_CLOSE)) return false
  return end === authority.length || isPort(authority, end + 1)
}

/** Whether a well-formed authority names `serverName`, which came as SNI and is in canonical form. */
export const namesServer = (authority: string, serverName: Hostname): boolean => {
  if (authority === serverName) return true
  let end = hostLength(authority)
  if (authority.charCodeAt(end - 1) === DOT) end--
  return end === serverName.length && authority.slice(0, end).toLowerCase() === serverName
}

/** Whether two well-formed authorities say the same. A port that one of them leaves out is a difference. */
export const isSameAuthority = (a: string, b: string): boolean =>
  a === b || (a.length === b.length && a.toLowerCase() === b.toLowerCase())

/** Where the host ends: at the colon of a port, or at the end. */
const hostLength = (authority: string): number => {
  const from = authority.charCodeAt(0) === BRACKET_OPEN ? authority.indexOf("]") : 0
  const colon = from < 0 ? -1 : authority.indexOf(":", from)
  return colon < 0 ? authority.length : colon
}

/** Letters, digits, hyphen, underscore and dot, as in a route's name; in brackets those of an IPv6 address. */
const isHostCode = (code: number, isLiteral: boolean): boolean =>
  (code >= 48 && code <= 57) ||
  (code >= 97 && code <= 122) ||
  (code >= 65 && code <= 90) ||
  code === DOT ||
  (isLiteral ? code === COLON : code === HYPHEN || code === UNDERSCORE)

/** A port may be empty (RFC 3986 3.2.3). */
const isPort = (authority: string, start: number): boolean => {
  let port = 0
  for (let i = start; i < authority.length; i++) {
    const digit = authority.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return false
    port = port * 10 + digit
    if (port > PORT_MAX) return false
  }
  return true
}

/** The longest name DNS can carry, and a trailing dot. */
const HOST_LENGTH_MAX = 254
const PORT_MAX = 65535

const BRACKET_OPEN = 91
const BRACKET_CLOSE = 93
const COLON = 58
const DOT = 46
const HYPHEN = 45
const UNDERSCORE = 95
