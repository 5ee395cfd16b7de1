/** `mc-proxy check`: everything that would keep the proxy from starting, in one report, without listening. */
import { Console, Effect, Layer, Result } from "effect"
import { checkCertificates, checkRouteCertificate } from "../config/CertificateCheck.ts"
import { inspectFile, stateOf, type Config, type Inspection } from "../config/Config.ts"
import { coalescingWarnings } from "../config/Coalescing.ts"
import { ConfigError, type ConfigProblem } from "../config/ConfigError.ts"
import { countryProblems } from "../config/CountryRules.ts"
import { GeoIp } from "../firewall/GeoIp.ts"
import type { State } from "../snapshot/Change.ts"
import { DatabaseError } from "../store/DatabaseError.ts"
import { readSeeded } from "../store/Seeding.ts"
import { checkOpenFiles } from "./OpenFiles.ts"

/** Prints warnings and what was found to be right; fails with every problem there is. */
export const check = Effect.fn("check")(function* (file: string) {
  const inspected = yield* inspectFile(file, process.env)
  const { config, geoipDb, warnings } = inspected
  const stored = yield* config === undefined
    ? Effect.succeed(Result.succeed(undefined))
    : Effect.result(readSeeded(config.database.path))
  const state = Result.getOrUndefined(stored)
  const problems = [
    ...inspected.problems,
    // Once a database is filled, the file's routes are not served and their certificates not loaded.
    ...(Result.isSuccess(stored) && state === undefined ? yield* checkRoutes(inspected) : []),
    ...(yield* checkGeoIp(geoipDb))
  ]
  const found = Result.isFailure(stored)
    ? stored.failure.problems
    : state === undefined || config === undefined
      ? []
      : yield* checkState(state, config)
  for (const warning of warnings) yield* Console.error(`warning: ${warning}`)
  const reports = [
    ...(problems.length > 0 ? [new ConfigError({ file, problems })] : []),
    ...(found.length > 0 && config ? [new DatabaseError({ file: config.database.path, problems: found })] : [])
  ]
  if (reports.length > 0 || config === undefined) {
    return yield* Effect.fail({ message: reports.map(({ message }) => message).join("\n") })
  }
  for (const warning of yield* coalescingWarnings((state ?? config).listeners))
    yield* Console.error(`warning: ${warning}`)
  yield* checkOpenFiles
  yield* Console.log(`${file}: ok (${describe(stateOf(config))})`)
  if (state !== undefined) yield* Console.log(`${config.database.path}: ok (${describe(state)})`)
})

const describe = ({ firewallRules, listeners }: State): string => {
  const routes = listeners.reduce((count, listener) => count + listener.routes.length, 0)
  return `listeners: ${listeners.length}, routes: ${routes}, firewall rules: ${firewallRules.length}`
}

/** What would keep a new database from being filled and served. */
const checkRoutes = ({ listeners, problems }: Inspection) => {
  // Where a listener could not be read, the places of the others' routes cannot be told.
  const readable = problems.every(({ path }) => !path.startsWith("listeners")) ? listeners : []
  return checkCertificates(readable)
}

/** What the database's own routes and rules need. */
const checkState = Effect.fnUntraced(function* (state: State, config: Config) {
  const problems = [...countryProblems(state, config)]
  for (const { addr, routes } of state.listeners) {
    for (const route of routes) {
      if (route.mode === "l4") continue
      for (const { message, path } of yield* checkRouteCertificate(route)) {
        problems.push({ path: `route ${route.hostname} on ${addr}: ${path}`, message })
      }
    }
  }
  return problems
})

/** Opens the GeoIP database as the proxy would. */
const checkGeoIp = (path: string) =>
  Effect.scoped(Layer.build(GeoIp.layer(path))).pipe(
    Effect.as<ReadonlyArray<ConfigProblem>>([]),
    Effect.catch((error) => Effect.succeed([{ path: "firewall.geoip_db", message: error.message }]))
  )
