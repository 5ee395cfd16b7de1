/**
 * Values of a config file in messages: one line, safe on any terminal and in any log, cut to a readable length.
 *
 * A message never shows the user name and password of a URL (RFC 3986 3.2.1).
 */
import type { TomlValue } from "smol-toml"

/** Where a value stands in the file: `["listeners", 0, "addr"]`. */
export type TomlPath = ReadonlyArray<string | number>

/** A value as TOML writes it, or what kind it is where that would be long. */
export const showValue = (value: TomlValue): string => {
  if (typeof value === "string") return showText(value)
  if (Array.isArray(value)) return "an array"
  if (value instanceof Date) return "a date"
  if (typeof value === "object") return "a table"
  if (typeof value === "number") return showFloat(value)
  return cut(String(value))
}

/** A string in quotes, without a character that is invisible, moves the cursor or reorders what stands beside it. */
export const showText = (text: string): string => {
  // Of a cut text the end of a name and password may be missing, so all that may be one is hidden.
  const shown =
    text.length > SHOWN_LENGTH_MAX
      ? cut(text).replace(/:\/\/[^/?#]*(?:@|$)/g, "://…")
      : text.replace(/:\/\/[^/?#]*@/g, "://…@")
  return escapeInvisible(JSON.stringify(shown))
}

/** The whole of a text on one line of any terminal, by JSON's escapes; JSON of one line stays the same value. */
export const escapeInvisible = (text: string): string => text.replace(INVISIBLE, escapeUnits)

/** As JSON does: each UTF-16 unit for itself. */
const escapeUnits = (char: string): string =>
  char.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** Recognisable as no integer; those come as `bigint`. */
const showFloat = (value: number): string =>
  Number.isInteger(value) ? value.toFixed(1) : String(value).replace("Infinity", "inf").replace("NaN", "nan")

/** `listeners[0].routes[2].hostname`, keys in quotes where TOML needs them. */
export const showPath = (path: TomlPath): string =>
  path.map((part, i) => (typeof part === "number" ? `[${part}]` : `${i === 0 ? "" : "."}${showKey(part)}`)).join("")

/** A name as it is where it is plain, else in quotes. */
export const showKey = (key: string): string => (BARE_KEY.test(key) && key === cut(key) ? key : showText(key))

const cut = (text: string): string => (text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}…` : text)

/** Enough to recognise a value; a whole report stays readable when a certificate was pasted in place of its path. */
export const SHOWN_LENGTH_MAX = 80

/** Controls, formats, private and unassigned code points, line and paragraph separators. */
export const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/gu
const BARE_KEY = /^[A-Za-z0-9_-]+$/
