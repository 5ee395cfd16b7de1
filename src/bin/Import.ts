/**
 * `mc-proxy import`: makes the database's listeners, routes, policies and rules equal to the config file's.
 *
 * A running proxy has the database, and is asked to do it through its admin socket; else it is done here.
 */
import { Console, Effect } from "effect"
import { AdminClient } from "../admin/AdminClient.ts"
import { Route } from "../admin/AdminSchema.ts"
import { checkCertificates } from "../config/CertificateCheck.ts"
import { loadConfig, stateOf, type Config } from "../config/Config.ts"
import { coalescingWarnings } from "../config/Coalescing.ts"
import { ConfigError } from "../config/ConfigError.ts"
import { diff, EMPTY } from "../snapshot/Change.ts"
import * as Database from "../store/Database.ts"
import { DatabaseError } from "../store/DatabaseError.ts"
import * as DatabaseFile from "../store/DatabaseFile.ts"
import { differences } from "../store/Difference.ts"
import { readSeeded } from "../store/Seeding.ts"

/** Prints each difference; with `dryRun` that is all. */
export const importFile = Effect.fn("import")(function* (file: string, dryRun: boolean) {
  const config = yield* loadConfig(file, process.env)
  const problems = yield* checkCertificates(config.listeners)
  if (problems.length > 0) return yield* new ConfigError({ file, problems })
  const coalescing = yield* coalescingWarnings(config.listeners)
  for (const warning of [...config.warnings, ...coalescing]) yield* Console.error(`warning: ${warning}`)
  const lines = yield* dryRun ? preview(config) : apply(config)
  for (const line of lines) yield* Console.log(line)
  if (lines.length === 0) yield* Console.log(`${config.database.path} is equal to ${file} already`)
})

/** The database itself tells, whoever has it: what is committed is what is in force. */
const preview = (config: Config) =>
  Effect.map(readSeeded(config.database.path), (stored) => differences(stored ?? EMPTY, stateOf(config)))

const apply = (config: Config) => Effect.catchTag(importHere(config), "DatabaseInUse", () => importThere(config))

const importHere = Effect.fnUntraced(function* (config: Config) {
  const wanted = stateOf(config)
  const claimed = yield* DatabaseFile.claim(config.database.path)
  return yield* Effect.gen(function* () {
    const { seeded, snapshot } = yield* Database.load()
    if (seeded) yield* Database.commit(snapshot.revision, [diff(snapshot, wanted)])
    else yield* Database.seed(wanted)
    return differences(snapshot, wanted)
  }).pipe(Effect.provide(DatabaseFile.layer(claimed)))
}, Effect.scoped)

const importThere = (config: Config) =>
  config.grpc === undefined
    ? DatabaseError.of(config.database.path, RUNNING)
    : Effect.catchTag(askProxy(config, config.grpc.addr), "AdminUnreachable", ({ message }) =>
        DatabaseError.of(config.database.path, `another process has it, and cannot be asked to import: ${message}`)
      )

const RUNNING =
  "the proxy is running on it, and nothing was imported; give it a [grpc] to be asked at, or stop it for the import"

const askProxy = (config: Config, socket: string) =>
  Effect.gen(function* () {
    const listeners = config.listeners.map(({ routes, ...listener }) => ({
      listener,
      routes: routes.map((route) => Route.make(route))
    }))
    const admin = yield* AdminClient
    const answer = yield* admin.importState({ listeners, firewallRules: config.firewall.rules })
    return answer.differences
  }).pipe(Effect.provide(AdminClient.layer({ socket })))
