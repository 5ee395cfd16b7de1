/**
 * What both protocols ask of a request before anything is done about it: the verdict's form, and the rules on targets,
 * fields, lengths and authorities that HTTP/1.1 and HTTP/2 share.
 *
 * Whatever two readers could understand differently is refused, since the backend is the second reader.
 */
import type { Hostname } from "../snapshot/Hostname.ts"
import { isAuthority, isSameAuthority, namesServer } from "./Authority.ts"
import { countOf, FIELD_LIST_BYTES_MAX, fieldListBytes, fieldOf } from "./Fields.ts"
import type { Fields, RequestHead } from "./Message.ts"

export type RequestRead = { readonly _tag: "Request"; readonly head: RequestHead } | RequestRefused

/** The request is answered with `status`, and no backend hears of it. */
export interface RequestRefused {
  readonly _tag: "Refused"
  readonly status: 400 | 405 | 421 | 431 | 501
  /** In our own words, for the log; nothing of what the client sent. */
  readonly reason: string
}

export const refused = (status: RequestRefused["status"], reason: string): RequestRefused => ({
  _tag: "Refused",
  status,
  reason
})

/** Whether the header list is within its limit; `targetBytes` counts what is not in the list. To be asked first. */
export const checkSize = (raw: Fields, targetBytes: number): RequestRefused | undefined =>
  fieldListBytes(raw) + targetBytes > FIELD_LIST_BYTES_MAX ? TOO_LARGE : undefined

/** Names and values from the field at `start` on. A pseudo-header's name is no field name. */
export const checkFields = (raw: Fields, start: number): RequestRefused | undefined => {
  for (let i = start; i + 1 < raw.length; i += 2) {
    if (!TOKEN.test(raw[i]!)) return INVALID_NAME
    if (INVALID_VALUE.test(raw[i + 1]!)) return INVALID_VALUES
  }
  return undefined
}

/**
 * The authority of a request with this `Host` or `host` field and this one of its target: one of them, well-formed, and
 * where both are there the same.
 */
export const authorityOf = (target: string | undefined, raw: Fields, server: Hostname): string | RequestRefused => {
  const hosts = countOf(raw, "host")
  if (hosts > 1) return REPEATED_HOST
  const host = hosts === 0 ? undefined : fieldOf(raw, "host")
  const authority = target ?? host
  if (authority === undefined) return NO_AUTHORITY
  if (!isAuthority(authority)) return INVALID_AUTHORITY
  if (host !== undefined && !isSameAuthority(host, authority)) return DISAGREEING
  return namesServer(authority, server) ? authority : MISDIRECTED
}

/** A path with its query, or `*` for OPTIONS alone (RFC 9112 3.2.1, 3.2.4). A fragment is no part of a target. */
export const isPath = (path: string, method: string): boolean =>
  path.charCodeAt(0) === SLASH ? !INVALID_PATH.test(path) : path === "*" && method === "OPTIONS"

export const isToken = (text: string): boolean => TOKEN.test(text)

/**
 * The length that `content-length` says; `undefined` where it is not there. Repeated or a list, even of one value twice,
 * is refused: RFC 9110 8.6 leaves that to the recipient, so that two may differ.
 */
export const contentLengthOf = (raw: Fields): number | undefined | RequestRefused => {
  const count = countOf(raw, "content-length")
  if (count === 0) return undefined
  if (count > 1) return REPEATED_LENGTH
  const text = fieldOf(raw, "content-length")!
  const length = LENGTH.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(length) ? length : INVALID_LENGTH
}

/** RFC 9110 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** Everything but tabs, visible characters, spaces and what is beyond ASCII (RFC 9110 5.5). */
const INVALID_VALUE = /[^\t\x20-\x7e\x80-\xff]/
const INVALID_PATH = /[^\x21\x22\x24-\x7e\x80-\xff]/
const LENGTH = /^[0-9]+$/
const SLASH = 47

const TOO_LARGE = refused(431, "header list too large")
const INVALID_NAME = refused(400, "invalid field name")
const INVALID_VALUES = refused(400, "invalid character in a field")
const REPEATED_HOST = refused(400, "repeated host")
const NO_AUTHORITY = refused(400, "no authority")
const INVALID_AUTHORITY = refused(400, "invalid authority")
const DISAGREEING = refused(400, "host and the target's authority disagree")
const MISDIRECTED = refused(421, "the authority is not the name of the connection")
const REPEATED_LENGTH = refused(400, "repeated content-length")
const INVALID_LENGTH = refused(400, "invalid content-length")
