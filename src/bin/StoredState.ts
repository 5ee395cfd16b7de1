/**
 * Which state a proxy serves, and whether it can: the config file's on the first run, the database's from then on.
 *
 * What the file says and the database does not is told, and how to apply it.
 */
import { Effect } from "effect"
import { stateOf, type Config } from "../config/Config.ts"
import { ConfigError } from "../config/ConfigError.ts"
import { unservedRoutes, unservedState } from "../config/Unserved.ts"
import { DatabaseError } from "../store/DatabaseError.ts"
import { differences } from "../store/Difference.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import type { State } from "../snapshot/Change.ts"

/** The store for a config that was read from `file`; a state that cannot be served is refused. */
export const layerStore = (file: string, config: Config) =>
  SqliteStore.layer({
    file: config.database.path,
    seed: stateOf(config),
    beforeSeeding: refuseUnserved(file, config),
    onStored: (state) => Effect.andThen(warnOfDifferences(file, config, state), refuseUnservedState(config, state))
  })

const refuseUnserved = (file: string, config: Config): Effect.Effect<void, ConfigError | DatabaseError> => {
  const problems = unservedRoutes(config.listeners)
  return problems.length > 0 ? Effect.fail(new ConfigError({ file, problems })) : Effect.void
}

const refuseUnservedState = (config: Config, state: State): Effect.Effect<void, ConfigError | DatabaseError> => {
  const problems = unservedState(state, config)
  return problems.length > 0 ? Effect.fail(new DatabaseError({ file: config.database.path, problems })) : Effect.void
}

/** One warning for each, and for those past `DIFFERENCES_LOGGED_MAX` one that says where to find them. */
const warnOfDifferences = Effect.fnUntraced(function* (file: string, config: Config, state: State) {
  const lines = differences(state, stateOf(config))
  const remedy = `mc-proxy import -c ${file}`
  for (const line of lines.slice(0, DIFFERENCES_LOGGED_MAX)) {
    yield* Effect.logWarning(`${file} differs from the database, which holds; ${remedy} would ${line}`)
  }
  const more = lines.length - DIFFERENCES_LOGGED_MAX
  if (more > 0) {
    yield* Effect.logWarning(
      `${file} differs in ${more} more; ${remedy} --dry-run prints them all, and without it applies them`
    )
  }
})

/** As many as somebody reads. A file that shares nothing with the database may have a hundred thousand. */
const DIFFERENCES_LOGGED_MAX = 100
