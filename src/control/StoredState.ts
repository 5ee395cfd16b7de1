/**
 * Which state a proxy serves, and whether it can: the config file's on the first run, the database's from then on.
 *
 * What the file says and the database does not is told, and how to apply it.
 */
import { Effect, type FileSystem, type Layer } from "effect"
import { checkCertificates } from "../config/CertificateCheck.ts"
import { stateOf, type Config } from "../config/Config.ts"
import { ConfigError } from "../config/ConfigError.ts"
import { countryProblems } from "../config/CountryRules.ts"
import { DatabaseError, type DatabaseInUse } from "../store/DatabaseError.ts"
import { differences } from "../store/Difference.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import type { Store, WriteFailed } from "../store/Store.ts"
import type { State } from "../snapshot/Change.ts"
import { Follower, type BindFailed } from "./Follower.ts"

/** The store for a config that was read from `file`; a state that cannot be served is refused. */
export const layer = (
  file: string,
  config: Config
): Layer.Layer<
  Store,
  BindFailed | ConfigError | DatabaseError | DatabaseInUse | WriteFailed,
  FileSystem.FileSystem | Follower
> =>
  SqliteStore.layer({
    file: config.database.path,
    seed: stateOf(config),
    beforeSeeding: prepareFile(file, config),
    onStored: (state) => inspectStored(file, config, state)
  })

/** Nothing is stored of a file that cannot be served: its certificates are checked, and its listeners bound. */
const prepareFile = Effect.fnUntraced(function* (
  file: string,
  config: Config
): Effect.fn.Return<void, BindFailed | ConfigError | DatabaseError, FileSystem.FileSystem | Follower> {
  const problems = yield* checkCertificates(config.listeners)
  if (problems.length > 0) return yield* new ConfigError({ file, problems })
  yield* (yield* Follower).bind(config.listeners.map(({ addr }) => addr))
})

const inspectStored = Effect.fnUntraced(function* (
  file: string,
  config: Config,
  state: State
): Effect.fn.Return<void, DatabaseError> {
  yield* warnOfDifferences(file, config, state)
  const problems = countryProblems(state, config)
  if (problems.length > 0) return yield* new DatabaseError({ file: config.database.path, problems })
})

/** One warning for each, and how to apply them. */
const warnOfDifferences = (file: string, config: Config, state: State) => {
  const remedy = `mc-proxy import -c ${file}`
  return warnOfAll(
    differences(state, stateOf(config)).map(
      (line) => `${file} differs from the database, which holds; ${remedy} would ${line}`
    ),
    (more) => `${file} differs in ${more} more; ${remedy} --dry-run prints them all, and without it applies them`
  )
}

/** Each a warning of the log, up to a bound. */
export const warnOfAll = Effect.fnUntraced(function* (
  lines: ReadonlyArray<string>,
  describeMore: (more: number) => string
) {
  for (const line of lines.slice(0, WARNINGS_MAX)) yield* Effect.logWarning(line)
  const more = lines.length - WARNINGS_MAX
  if (more > 0) yield* Effect.logWarning(describeMore(more))
})

/** As many as somebody reads. A file that shares nothing with the database may differ in a hundred thousand. */
const WARNINGS_MAX = 100
