/**
 * Reads a TOML table by its keys, past every mistake: what is wrong goes to the report, what is right comes back.
 *
 * Rules between keys are the callers'; they hold on what came back, so that one mistake is told once.
 */
import { Result, Schema, SchemaIssue } from "effect"
import type { TomlTable, TomlValue } from "smol-toml"
import { TABLES, type Key, type Keys, type Values } from "./Keys.ts"
import { showText, showValue, type TomlPath } from "./Printable.ts"
import type { Place, Report } from "./Report.ts"
import { nearest } from "./Spelling.ts"
import { isTable, valueAt } from "./Toml.ts"

/** A key's value from the environment, and the variable that it came from. */
export interface Override {
  readonly variable: string
  readonly value: TomlValue
}

/** The keys of `table` that are right or left out; `nested` names the ones that others read. */
export const readTable = <K extends Keys>(
  keys: K,
  table: TomlTable,
  at: TomlPath,
  report: Report,
  {
    nested = [],
    overrides = new Map()
  }: { readonly nested?: ReadonlyArray<string>; readonly overrides?: ReadonlyMap<string, Override> } = {}
): Partial<Values<K>> => {
  const values: { [Name in keyof K]?: unknown } = {}
  const misspelt = checkNames(table, [...Object.keys(keys), ...nested], at, report)
  for (const [name, key] of Object.entries(keys) as Array<[keyof K & string, Key<unknown>]>) {
    const given = Object.hasOwn(table, name)
    const override = overrides.get(name)
    // The file's value is checked also where the environment wins: it would fail on the day the variable is gone.
    const fallback = misspelt.has(name) ? undefined : key.fallback
    const own = given ? decode(key, table[name]!, [...at, name], report) : fallback
    values[name] = override === undefined ? own : decode(key, override.value, override.variable, report)
    if (!given && override === undefined && key.fallback === undefined && !misspelt.has(name)) {
      report.problem([...at, name], `missing; it must be ${key.value.expects}`)
    }
  }
  return values as Partial<Values<K>>
}

/** All values of a table, when none is wrong or missing. */
export const complete = <K extends Keys>(keys: K, values: Partial<Values<K>>): Values<K> | undefined =>
  Object.keys(keys).every((name) => values[name] !== undefined) ? (values as Values<K>) : undefined

/** The tables of an array of tables, each with its place; `header` is how each one starts in the file. */
export const readTables = (
  value: TomlValue | undefined,
  at: TomlPath,
  header: string,
  report: Report
): ReadonlyArray<{ readonly table: TomlTable; readonly at: TomlPath }> => {
  if (value === undefined) return []
  if (!Array.isArray(value)) {
    report.problem(at, `${showValue(value)} is not an array of tables; start each with ${header}`)
    return []
  }
  return value.flatMap((table, i) => {
    if (isTable(table)) return [{ table, at: [...at, i] }]
    report.problem([...at, i], `${showValue(table)} is not a table; start each with ${header}`)
    return []
  })
}

/** The items, each once by its name; a warning names those that come again. */
export const keepOnce = <A>(
  items: ReadonlyArray<A>,
  nameOf: (item: A) => string,
  at: TomlPath,
  report: Report
): ReadonlyArray<A> => {
  const kept = new Map<string, A>()
  const repeated = new Set<string>()
  for (const item of items) {
    const name = nameOf(item)
    if (kept.has(name)) repeated.add(name)
    else kept.set(name, item)
  }
  if (repeated.size > 0) {
    const shown = [...repeated].slice(0, REPEATED_SHOWN_MAX).map(showText).join(", ")
    const more = repeated.size > REPEATED_SHOWN_MAX ? ` and ${repeated.size - REPEATED_SHOWN_MAX} more` : ""
    report.warning(at, `${shown}${more} repeated; each is kept once`)
  }
  return [...kept.values()]
}

/** A warning is one line. */
const REPEATED_SHOWN_MAX = 3

/** Reports each key of `table` that is not one of `known`; gives those that are left out and seem to be meant. */
export const checkNames = (
  table: TomlTable,
  known: ReadonlyArray<string>,
  at: TomlPath,
  report: Report
): ReadonlySet<string> => {
  const meant = new Set<string>()
  for (const name of Object.keys(table)) {
    if (known.includes(name)) continue
    const { near, hint } = correct(name, known)
    report.problem([...at, name], `unknown key; ${hint}`)
    if (near !== undefined && !Object.hasOwn(table, near)) meant.add(near)
  }
  return meant
}

/** What to do about an unknown key: it is another table's, a misspelt one, or nothing that is known. */
const correct = (name: string, known: ReadonlyArray<string>): { readonly near?: string; readonly hint: string } => {
  const headers = TABLES.filter(([, keys]) => Object.hasOwn(keys, name)).map(([header]) => header)
  if (headers.length > 0) return { hint: `it belongs to ${headers.join(" or ")}` }
  // Of names that differ in more than half of the longer one's letters, the nearest misleads.
  const near = nearest(name, known, (other) => Math.floor(Math.max(name.length, other.length) / 2))
  return near === undefined ? { hint: `known here: ${known.join(", ")}` } : { near, hint: `did you mean ${near}?` }
}

const decode = (key: Key<unknown>, raw: TomlValue, place: Place, report: Report): unknown => {
  const decoded = Schema.decodeUnknownResult(key.value.schema)(raw, { errors: "all" })
  if (Result.isSuccess(decoded)) return decoded.success
  for (const { path, message } of flatten(decoded.failure.issue).issues) {
    // Only lists have items, and only the file has lists.
    const item = (path ?? []).filter((part) => typeof part === "number")
    const offending = valueAt(raw, item) ?? raw
    report.problem(typeof place === "string" ? place : [...place, ...item], `${showValue(offending)} ${message}`)
  }
  return undefined
}

const flatten = SchemaIssue.makeFormatterStandardSchemaV1()
