/**
 * Header and trailer fields: look-ups, and what of them goes on to the other side.
 *
 * Fields are one flat array in their order, as Node gives and takes them, since every request passes here twice. Names
 * are compared without case only while raw ones are read; `endToEnd` lowers them, and what is made of it has lower-case
 * names throughout.
 */
import type { Fields } from "./Message.ts"

/**
 * The fields of `raw` that are meant for the far end, names in lower case: no pseudo-header, no `host`, nothing
 * hop-by-hop and nothing that `Connection` names (RFC 9110 7.6.1). `te: trailers` passes, since gRPC asks for it.
 */
export const endToEnd = (raw: Fields): Array<string> => {
  const named = connectionOptions(raw)
  const fields: Array<string> = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase()
    if (name.charCodeAt(0) === COLON || name === "host") continue
    if (name === "te") {
      if (hasToken(raw[i + 1]!, "trailers") && fieldOf(fields, "te") === undefined) fields.push("te", "trailers")
      continue
    }
    if (HOP_BY_HOP.has(name) || (named !== undefined && named.has(name))) continue
    fields.push(name, raw[i + 1]!)
  }
  return fields
}

/**
 * The fields of a trailer section that may follow a body: never one that says how a message is framed or routed
 * (RFC 9110 6.5.1), which a recipient that merges trailers into the header could be deceived with.
 */
export const endToEndTrailers = (raw: Fields): Array<string> => {
  const fields: Array<string> = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase()
    if (name.charCodeAt(0) === COLON || HOP_BY_HOP.has(name) || NOT_IN_TRAILERS.has(name)) continue
    fields.push(name, raw[i + 1]!)
  }
  return fields
}

/** The value of the first field of that name, which is in lower case. */
export const fieldOf = (fields: Fields, name: string): string | undefined => {
  for (let i = 0; i + 1 < fields.length; i += 2) if (isName(fields[i]!, name)) return fields[i + 1]
  return undefined
}

/** Those of other names, where all are in lower case. */
export const withoutField = (fields: Fields, name: string): Array<string> =>
  fields.filter((_, i) => fields[i - (i % 2)] !== name)

/** How many fields have that name, which is in lower case. */
export const countOf = (fields: Fields, name: string): number => {
  let count = 0
  for (let i = 0; i + 1 < fields.length; i += 2) if (isName(fields[i]!, name)) count++
  return count
}

/** Whether a comma-separated list (RFC 9110 5.6.1) holds `token`, which is in lower case. Parameters are no part of it. */
export const hasToken = (list: string, token: string): boolean => {
  if (list === token) return true
  for (const item of list.split(",")) {
    const parameters = item.indexOf(";")
    if ((parameters < 0 ? item : item.slice(0, parameters)).trim().toLowerCase() === token) return true
  }
  return false
}

/** Whether any field of that name, which is in lower case, lists `token`. */
export const listsToken = (fields: Fields, name: string, token: string): boolean => {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (isName(fields[i]!, name) && hasToken(fields[i + 1]!, token)) return true
  }
  return false
}

/** Each name with its value, as Node takes the trailers of HTTP/1.1. */
export const pairs = (fields: Fields): Array<[string, string]> => {
  const result: Array<[string, string]> = []
  for (let i = 0; i + 1 < fields.length; i += 2) result.push([fields[i]!, fields[i + 1]!])
  return result
}

/** The size of a field list, as its limit counts it: 32 bytes for each field beside its name and value (RFC 9113 6.5.2). */
export const fieldListBytes = (fields: Fields): number => {
  let bytes = (fields.length >> 1) * FIELD_OVERHEAD_BYTES
  for (const text of fields) bytes += text.length
  return bytes
}

/** A header list may have so many bytes; one byte more is 431. */
export const FIELD_LIST_BYTES_MAX = 64 * 1024

/**
 * What `Connection` names, in lower case; `undefined` where it names nothing but what is hop-by-hop anyway. No sender may
 * name `content-length` (RFC 9110 7.6.1), and taking it out would change where the message ends.
 */
const connectionOptions = (raw: Fields): ReadonlySet<string> | undefined => {
  let named: Set<string> | undefined
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (!isName(raw[i]!, "connection")) continue
    for (const item of raw[i + 1]!.split(",")) {
      const option = item.trim().toLowerCase()
      if (!NOT_REMOVABLE.has(option) && !HOP_BY_HOP.has(option)) (named ??= new Set()).add(option)
    }
  }
  return named
}

/** The lengths tell most names apart without a copy. */
const isName = (field: string, name: string): boolean =>
  field.length === name.length && (field === name || field.toLowerCase() === name)

/**
 * RFC 9110 7.6.1, and `http2-settings`, which was for this hop, too (RFC 7540 3.2.1). `trailer` is among them because it
 * announces how this hop is framed: the trailers themselves pass, announced or not, and behind a body of known length an
 * announcement would be refused by the next hop.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

/** Options of the connection itself, and what frames a message. */
const NOT_REMOVABLE: ReadonlySet<string> = new Set(["", "close", "content-length"])

const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  "content-length",
  "forwarded",
  "host",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip"
])

const FIELD_OVERHEAD_BYTES = 32
const COLON = 58
