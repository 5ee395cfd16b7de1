/**
 * How one record becomes one line, in both formats, so that no line can be forged.
 *
 * A line holds no character that a terminal, an editor or a log reader could take for the end of it or for a command:
 * every control, format (bidirectional overrides, zero-width) and separator character is escaped as in JSON. In text
 * a value is bare when it is plain ASCII, else a JSON string literal, so `key=value` pairs read back without guessing.
 * In JSON a line is one flat object. What goes into a line, and where lines go, is the callers' business.
 */
import { Formatter } from "effect"

/** `text` for people, `json` for machines. */
export type LogFormat = "text" | "json"

/** What a field holds once it is in a line. `null`: nothing to say; in text that is an empty value. */
export type LogValue = string | number | boolean | null

export interface LogRecord {
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly level: string
  readonly message: string
  readonly fields: ReadonlyArray<readonly [key: string, value: LogValue]>
}

/** `2026-11-22T17:45:01.123Z INFO  message key=value`, or `{"time":…,"level":"info","message":…,"key":…}`. */
export const formatRecord = (format: LogFormat, { time, level, message, fields }: LogRecord): string => {
  let line =
    format === "text"
      ? `${formatTime(time)} ${level.toUpperCase().padEnd(LEVEL_LENGTH)} ${textMessage(message)}`
      : `{"time":"${formatTime(time)}","level":${jsonValue(level)},"message":${jsonValue(message)}`
  for (const [key, value] of fields) {
    line += format === "text" ? ` ${textKey(key)}=${textValue(value)}` : `,${jsonValue(key)}:${jsonValue(value)}`
  }
  return format === "text" ? line : `${line}}`
}

/** ISO 8601 in UTC with milliseconds. */
export const formatTime = (time: number): string => new Date(time).toISOString()

/** A value after `key=`: bare where that cannot be misread, else a JSON string literal. */
export const textValue = (value: LogValue): string => {
  if (value === null || value === "") return ""
  return typeof value !== "string" || BARE.test(value) ? `${value}` : quote(value)
}

/** A JSON value. Numbers must be finite. */
export const jsonValue = (value: LogValue): string => {
  if (typeof value !== "string") return `${value}`
  return value === "" || BARE.test(value) ? `"${value}"` : quote(value)
}

/** Anything an annotation may hold as a field. Objects become text, even one that throws when it is looked at. */
export const toLogValue = (value: unknown): LogValue => {
  if (value === undefined || value === null) return null
  if (typeof value === "string" || typeof value === "boolean") return value
  return typeof value === "number" && Number.isFinite(value) ? value : Formatter.format(value)
}

/** A message is prose, and bare unless it could be taken for fields or for an escape. */
const textMessage = (message: string): string => (PROSE.test(message) ? message : quote(message))

const textKey = (key: string): string => (key === "" ? "_" : key.replace(NOT_KEY, "_"))

/** JSON.stringify escapes quotes, backslashes, C0 controls and lone surrogates; here the rest that is invisible. */
const quote = (text: string): string => JSON.stringify(text).replace(INVISIBLE, escapeCharacter)

const escapeCharacter = (character: string): string => {
  let escaped = ""
  for (let i = 0; i < character.length; i++) {
    escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`
  }
  return escaped
}

/** The longest level there is: `ERROR`. */
const LEVEL_LENGTH = 5

/** Printable ASCII without space, `"`, `=` and `\`. */
const BARE = /^[!#-<>-[\]-~]+$/
/** Words of any script with spaces between them, without `"`, `=` and `\`. */
const PROSE = /^[^\p{C}\p{Z}"=\\]+(?: +[^\p{C}\p{Z}"=\\]+)*$/u
const NOT_KEY = /[^A-Za-z0-9_.-]/g
/** Controls (DEL and C1 among them), format characters, line and paragraph separators. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
