/** `mc-proxy check`: everything that would keep the proxy from starting, in one report, without listening. */
import { Console, Effect, Layer } from "effect"
import { checkCertificates } from "../config/CertificateCheck.ts"
import { inspectFile } from "../config/Config.ts"
import { ConfigError, type ConfigProblem } from "../config/ConfigError.ts"
import { unservedRoutes, unservedSections } from "../config/Unserved.ts"
import { GeoIp } from "../firewall/GeoIp.ts"
import { checkOpenFiles } from "./OpenFiles.ts"

/** Prints warnings and what was found to be right; fails with every problem there is. */
export const check = Effect.fn("check")(function* (file: string) {
  const { config, geoipDb, listeners, problems, warnings } = yield* inspectFile(file, process.env)
  // Where a listener could not be read, the places of the others' routes cannot be told.
  const readable = problems.every(({ path }) => !path.startsWith("listeners")) ? listeners : []
  const all = [
    ...problems,
    ...(yield* checkCertificates(readable)),
    ...unservedRoutes(readable),
    ...(yield* checkGeoIp(geoipDb))
  ]
  for (const warning of warnings) yield* Console.error(`warning: ${warning}`)
  if (config === undefined || all.length > 0) return yield* new ConfigError({ file, problems: all })
  for (const warning of unservedSections(config)) yield* Console.error(`warning: ${warning}`)
  yield* checkOpenFiles(listeners.length)
  const routes = listeners.reduce((count, listener) => count + listener.routes.length, 0)
  const rules = config.firewall.rules.length
  yield* Console.log(`${file}: ok (listeners: ${listeners.length}, routes: ${routes}, firewall rules: ${rules})`)
})

/** Opens the database as the proxy would. */
const checkGeoIp = (path: string) =>
  Effect.scoped(Layer.build(GeoIp.layer(path))).pipe(
    Effect.as<ReadonlyArray<ConfigProblem>>([]),
    Effect.catch((error) => Effect.succeed([{ path: "firewall.geoip_db", message: error.message }]))
  )
