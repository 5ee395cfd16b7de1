/**
 * The text of a config file to its TOML table, or the place and reason of its first syntax error.
 *
 * Integers come as `bigint`, so that `1.0` is told from `1` and no number loses digits before its range is checked.
 */
import { Result } from "effect"
import { parse, TomlError, type TomlTable, type TomlValue } from "smol-toml"
import type { ConfigProblem } from "./ConfigError.ts"
import { INVISIBLE, type TomlPath } from "./Printable.ts"

export const parseToml = (text: string): Result.Result<TomlTable, ConfigProblem> =>
  Result.try({
    try: () => parse(text, { integersAsBigInt: true, maxDepth: DEPTH_MAX }),
    catch: (error) => {
      if (error instanceof TomlError) return syntaxProblem(text, error)
      throw error
    }
  })

/** Whether a TOML value is a table: no scalar, date or array. */
export const isTable = (value: TomlValue | undefined): value is TomlTable =>
  typeof value === "object" && !Array.isArray(value) && !(value instanceof Date)

/** What stands at `path` below `value`. */
export const valueAt = (value: TomlValue | undefined, path: TomlPath): TomlValue | undefined =>
  path.reduce<TomlValue | undefined>((parent, part) => {
    if (typeof part === "number") return Array.isArray(parent) ? parent[part] : undefined
    return isTable(parent) && Object.hasOwn(parent, part) ? parent[part] : undefined
  }, value)

const syntaxProblem = (text: string, error: TomlError): ConfigProblem => {
  const reason = error.message.split("\n", 1)[0]!.replace("Invalid TOML document: ", "")
  const line = text.split(/\r?\n/)[error.line - 1] ?? ""
  return {
    path: `line ${error.line}, column ${error.column}`,
    message: `${reason}\n${excerpt(line, error)}`
  }
}

/** The offending line with a caret below the column; of a long line, the part around it. */
const excerpt = (line: string, { line: number, column }: TomlError): string => {
  const start = Math.max(0, column - 1 - EXCERPT_LENGTH_MAX / 2)
  // A space for each keeps the caret in its column.
  const masked = line.replace(CREDENTIALS, (text) => "*".repeat(text.length))
  const shown = masked.slice(start, start + EXCERPT_LENGTH_MAX).replace(INVISIBLE, " ")
  const margin = `    ${number} | `
  return `${margin}${shown}\n${" ".repeat(margin.length + column - 1 - start)}^`
}

/** The user name and password of a URL: a report goes into journals. */
const CREDENTIALS = /(?<=:\/\/)[^\s/"']+(?=@)/g

/** The format needs three levels; each level costs the parser a stack frame. */
const DEPTH_MAX = 16
/** One terminal line. */
const EXCERPT_LENGTH_MAX = 100
