/**
 * The environment's part of the config: `MCPROXY_<SECTION>_<KEY>` for every scalar outside `[[listeners]]`.
 *
 * A variable wins over the file and is read by the same rules; a relative path is relative to the file's folder, too.
 * An empty variable counts as unset, as a container template leaves one. A name that is no key's is ignored, for the
 * prefix is not ours alone (an orchestrator may write `MCPROXY_SERVICE_HOST`), and one close to a key's is a warning.
 */
import { SECTIONS, type Key, type Keys, type SectionName } from "./Keys.ts"
import type { Report } from "./Report.ts"
import { nearest } from "./Spelling.ts"
import type { Override } from "./Table.ts"

/** As `process.env` has it. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The variable that overrides a key. */
export const variableOf = (section: SectionName, key: string): string => `${PREFIX}${section}_${key}`.toUpperCase()

/** What the environment sets of a section, by key. */
export const overridesOf = (
  section: SectionName,
  keys: Keys,
  environment: Environment
): ReadonlyMap<string, Override> => {
  const overrides = new Map<string, Override>()
  for (const [name, { value }] of Object.entries(keys)) {
    const variable = variableOf(section, name)
    const text = environment[variable]
    if (text === undefined || text === "" || value.fromText === undefined) continue
    overrides.set(name, { variable, value: value.fromText(text) })
  }
  return overrides
}

/** Warns of each variable that looks like a key's and is none. */
export const checkVariables = (environment: Environment, report: Report): void => {
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(PREFIX) || text === undefined || text === "") continue
    const path = LISTS.get(variable)
    if (path !== undefined) report.warning(variable, `ignored; ${path} is a list, which only the file can hold`)
    else if (!VARIABLES.includes(variable)) warnOfNear(variable, report)
  }
}

const warnOfNear = (variable: string, report: Report): void => {
  const near = nearest(variable, VARIABLES, () => MISTYPED_MAX)
  if (near !== undefined) report.warning(variable, `ignored, as no key has this name; did you mean ${near}?`)
}

const PREFIX = "MCPROXY_"
/** At three slips, other programs' variables would be taken for ours. */
const MISTYPED_MAX = 2

const SECTION_KEYS = Object.entries(SECTIONS).flatMap(([section, keys]) =>
  Object.entries<Key<unknown>>(keys).map(([name, key]) => ({
    variable: variableOf(section as SectionName, name),
    path: `${section}.${name}`,
    list: key.value.fromText === undefined
  }))
)

/** Every variable that is read. */
export const VARIABLES: ReadonlyArray<string> = SECTION_KEYS.filter(({ list }) => !list).map(({ variable }) => variable)

const LISTS = new Map(SECTION_KEYS.filter(({ list }) => list).map(({ variable, path }) => [variable, path]))
