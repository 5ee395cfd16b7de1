/** `mc-proxy check`: everything that would keep the proxy from starting, in one report, without listening. */
import { Console, Effect, Layer, Result } from "effect"
import { checkCertificates, checkRouteCertificate } from "../config/CertificateCheck.ts"
import { loadConfig, stateOf, type Config } from "../config/Config.ts"
import { ConfigError, type ConfigProblem } from "../config/ConfigError.ts"
import { unservedRoutes, unservedSections, unservedState } from "../config/Unserved.ts"
import { GeoIp } from "../firewall/GeoIp.ts"
import type { State } from "../snapshot/Change.ts"
import { DatabaseError } from "../store/DatabaseError.ts"
import { readSeeded } from "../store/Seeding.ts"

/** Prints warnings and what was found to be right; fails with every problem there is. */
export const check = Effect.fn("check")(function* (file: string) {
  const config = yield* loadConfig(file, process.env)
  const stored = yield* Effect.result(readSeeded(config.database.path))
  const problems = [
    // Once a database is filled, the file's routes are not served and their certificates not loaded.
    ...(Result.isSuccess(stored) && stored.success === undefined ? yield* checkFile(config) : []),
    ...(yield* checkGeoIp(config.firewall.geoipDb))
  ]
  const state = Result.isSuccess(stored) ? stored.success : undefined
  const found = Result.isFailure(stored)
    ? stored.failure.problems
    : state === undefined
      ? []
      : yield* checkState(state, config)
  const reports = [
    ...(problems.length > 0 ? [new ConfigError({ file, problems })] : []),
    ...(found.length > 0 ? [new DatabaseError({ file: config.database.path, problems: found })] : [])
  ]
  if (reports.length > 0) return yield* Effect.fail({ message: reports.map(({ message }) => message).join("\n") })
  for (const warning of [...config.warnings, ...unservedSections(config)]) yield* Console.error(`warning: ${warning}`)
  yield* Console.log(`${file}: ok (${describe(stateOf(config))})`)
  if (state !== undefined) yield* Console.log(`${config.database.path}: ok (${describe(state)})`)
})

const describe = ({ firewallRules, listeners }: State): string => {
  const routes = listeners.reduce((count, listener) => count + listener.routes.length, 0)
  return `listeners: ${listeners.length}, routes: ${routes}, firewall rules: ${firewallRules.length}`
}

/** What would keep a new database from being filled and served. */
const checkFile = (config: Config) =>
  Effect.map(checkCertificates(config.listeners), (problems) => [...problems, ...unservedRoutes(config)])

/** What the database's own routes and rules need. */
const checkState = Effect.fnUntraced(function* (state: State, config: Config) {
  const problems = [...unservedState(state, config)]
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
