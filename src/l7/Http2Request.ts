/**
 * Reads the head of an HTTP/2 request as Node gives it, or says how it is refused.
 *
 * A request that is malformed by RFC 9113 8.2 and 8.3 is answered 400, whatever the library made of it: pseudo-headers
 * that are missing, repeated, unknown or late, fields that only HTTP/1.1 has, characters that would end a line there.
 * Extended CONNECT (RFC 8441) is taken for WebSockets alone.
 */
import type { Hostname } from "../snapshot/Hostname.ts"
import { countOf, endToEnd } from "./Fields.ts"
import type { Fields } from "./Message.ts"
import {
  authorityOf,
  checkFields,
  checkSize,
  contentLengthOf,
  isPath,
  isToken,
  refused,
  type RequestRead,
  type RequestRefused
} from "./RequestRead.ts"

/** `raw`: every field as received, none dropped. `endStream`: no body follows. `server`: the connection's name. */
export const readHttp2Request = (raw: Fields, endStream: boolean, server: Hostname): RequestRead => {
  const tooLarge = checkSize(raw, 0)
  if (tooLarge !== undefined) return tooLarge
  const start = pseudoEnd(raw)
  if (start === undefined) return INVALID_PSEUDO
  const wrong = checkFields(raw, start) ?? checkHttp2Fields(raw, start)
  if (wrong !== undefined) return wrong
  const method = pseudoOf(raw, start, ":method")
  const protocol = pseudoOf(raw, start, ":protocol")
  if (method === undefined || !isToken(method)) return INVALID_METHOD
  if (protocol !== undefined && method !== "CONNECT") return INVALID_PSEUDO
  if (method === "CONNECT" && protocol === undefined) return CONNECT_REFUSED
  const scheme = pseudoOf(raw, start, ":scheme")
  if (scheme !== "https" && scheme !== "http") return INVALID_SCHEME
  const path = pseudoOf(raw, start, ":path")
  if (path === undefined || !isPath(path, method)) return INVALID_PATH
  const authority = authorityOf(pseudoOf(raw, start, ":authority"), raw, server)
  if (typeof authority !== "string") return authority
  const contentLength = contentLengthOf(raw)
  if (typeof contentLength === "object") return contentLength
  if (endStream && (contentLength ?? 0) > 0) return NO_BODY
  const fields = joinCookies(endToEnd(raw))
  if (protocol === undefined) {
    const head = { method, authority, path, fields, isWebSocket: false, hasBody: !endStream, contentLength }
    return { _tag: "Request", head }
  }
  if (protocol.toLowerCase() !== "websocket") return UNKNOWN_PROTOCOL
  if (endStream || contentLength !== undefined) return INVALID_CONNECT
  // RFC 8441 4: the method is that of the handshake which this stands for.
  const head = { method: "GET", authority, path, fields, isWebSocket: true, hasBody: true, contentLength }
  return { _tag: "Request", head }
}

/** Where the pseudo-headers end; `undefined` where one is unknown or repeated. One that is late is no field name. */
const pseudoEnd = (raw: Fields): number | undefined => {
  let at = 0
  for (; at + 1 < raw.length && raw[at]!.charCodeAt(0) === COLON; at += 2) {
    if (!PSEUDO_HEADERS.has(raw[at]!) || pseudoOf(raw, at, raw[at]!) !== undefined) return undefined
  }
  return at
}

/** The pseudo-header of that name among those before `end`. */
const pseudoOf = (raw: Fields, end: number, name: string): string | undefined => {
  for (let i = 0; i < end; i += 2) if (raw[i] === name) return raw[i + 1]
  return undefined
}

/** What HTTP/2 asks of fields beyond HTTP/1.1 (RFC 9113 8.2.1, 8.2.2). */
const checkHttp2Fields = (raw: Fields, start: number): RequestRefused | undefined => {
  for (let i = start; i + 1 < raw.length; i += 2) {
    const name = raw[i]!
    const value = raw[i + 1]!
    if (CONNECTION_SPECIFIC.has(name)) return CONNECTION_FIELD
    if (name === "te" && value.toLowerCase() !== "trailers") return CONNECTION_FIELD
    if (UPPER_CASE.test(name)) return UPPER_CASE_NAME
    if (SPACE_AROUND.test(value)) return SPACE_AROUND_VALUE
  }
  return undefined
}

/** Browsers send each cookie as a field of its own, for compression; anyone else expects one (RFC 9113 8.2.3). */
const joinCookies = (fields: Array<string>): Fields => {
  if (countOf(fields, "cookie") < 2) return fields
  const crumbs: Array<string> = []
  const joined: Array<string> = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (fields[i] === "cookie") crumbs.push(fields[i + 1]!)
    else joined.push(fields[i]!, fields[i + 1]!)
  }
  joined.push("cookie", crumbs.join("; "))
  return joined
}

const PSEUDO_HEADERS: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path", ":protocol"])

const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade"
])

const UPPER_CASE = /[A-Z]/
const SPACE_AROUND = /^[\t ]|[\t ]$/
const COLON = 58

const INVALID_PSEUDO = refused(400, "unknown, repeated or misplaced pseudo-header")
const INVALID_METHOD = refused(400, "invalid method")
const INVALID_SCHEME = refused(400, "invalid scheme")
const INVALID_PATH = refused(400, "invalid path")
const CONNECT_REFUSED = refused(405, "CONNECT")
const UNKNOWN_PROTOCOL = refused(501, "CONNECT for a protocol other than WebSocket")
const INVALID_CONNECT = refused(400, "WebSocket handshake with a length or an end")
const NO_BODY = refused(400, "content-length without a body")
const CONNECTION_FIELD = refused(400, "field of another version of HTTP")
const UPPER_CASE_NAME = refused(400, "upper case in a field name")
const SPACE_AROUND_VALUE = refused(400, "white space around a value")
