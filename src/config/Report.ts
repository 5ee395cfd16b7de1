/**
 * Collects what is wrong with one config while it is read, so that all of it is told at once.
 *
 * One `parseConfig` owns one report. Findings come in any order and are told in the file's.
 */
import { Order } from "effect"
import type { TomlTable } from "smol-toml"
import type { ConfigProblem } from "./ConfigError.ts"
import { showKey, showPath, type TomlPath } from "./Printable.ts"
import { isTable, valueAt } from "./Toml.ts"

/** A place in the file, or the name of an environment variable. */
export type Place = TomlPath | string

export class Report {
  readonly #problems: Array<Finding> = []
  readonly #warnings: Array<Finding> = []

  /** Something that makes the config unusable. */
  problem(place: Place, message: string): void {
    this.#problems.push({ place, message })
  }

  /** Something that works, and is hardly meant so. */
  warning(place: Place, message: string): void {
    this.#warnings.push({ place, message })
  }

  /** Whether there is a problem. */
  get failed(): boolean {
    return this.#problems.length > 0
  }

  problems(document: TomlTable): ReadonlyArray<ConfigProblem> {
    return inFileOrder(this.#problems, document).map(({ place, message }) => ({ path: showPlace(place), message }))
  }

  warnings(document: TomlTable): ReadonlyArray<string> {
    return inFileOrder(this.#warnings, document).map(({ place, message }) => `${showPlace(place)}: ${message}`)
  }
}

interface Finding {
  readonly place: Place
  readonly message: string
}

const showPlace = (place: Place): string => (typeof place === "string" ? showKey(place) : showPath(place))

/** A missing key comes right after its table's header, the environment last. */
const inFileOrder = (findings: ReadonlyArray<Finding>, document: TomlTable): ReadonlyArray<Finding> => {
  // Kept per table, or a table of many unknown keys would be searched once for each.
  const positions = new Map<TomlTable, ReadonlyMap<string, number>>()
  const positionOf = (key: string, parent: TomlPath): number => {
    const table = valueAt(document, parent)
    if (!isTable(table)) return MISSING
    const known = positions.get(table) ?? new Map(Object.keys(table).map((name, i) => [name, i]))
    positions.set(table, known)
    return known.get(key) ?? MISSING
  }
  const rankOf = (place: Place): ReadonlyArray<number> =>
    typeof place === "string"
      ? [Infinity]
      : place.map((part, i) => (typeof part === "number" ? part : positionOf(part, place.slice(0, i))))
  return findings
    .map((finding) => ({ finding, rank: rankOf(finding.place) }))
    .toSorted((a, b) => byRank(a.rank, b.rank))
    .map(({ finding }) => finding)
}

const byRank = Order.Array(Order.Number)
/** Before every key that is there. */
const MISSING = -1
