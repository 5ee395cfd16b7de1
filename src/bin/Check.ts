/** `mc-proxy check`: everything that would keep the proxy from starting, in one report, without listening. */
import { Console, Effect, Layer } from "effect"
import { checkCertificates } from "../config/CertificateCheck.ts"
import { loadConfig } from "../config/Config.ts"
import { ConfigError, type ConfigProblem } from "../config/ConfigError.ts"
import { unservedRoutes, unservedSections } from "../config/Unserved.ts"
import { GeoIp } from "../firewall/GeoIp.ts"

/** Prints warnings and what was found to be right; fails with every problem there is. */
export const check = Effect.fn("check")(function* (file: string) {
  const config = yield* loadConfig(file, process.env)
  const problems = [
    ...(yield* checkCertificates(config.listeners)),
    ...unservedRoutes(config),
    ...(yield* checkGeoIp(config.firewall.geoipDb))
  ]
  if (problems.length > 0) return yield* new ConfigError({ file, problems })
  for (const warning of [...config.warnings, ...unservedSections(config)]) yield* Console.error(`warning: ${warning}`)
  const routes = config.listeners.reduce((count, listener) => count + listener.routes.length, 0)
  yield* Console.log(
    `${file}: ok (listeners: ${config.listeners.length}, routes: ${routes}, firewall rules: ${config.firewall.rules.length})`
  )
})

/** Opens the database as the proxy would. */
const checkGeoIp = (path: string) =>
  Effect.scoped(Layer.build(GeoIp.layer(path))).pipe(
    Effect.as<ReadonlyArray<ConfigProblem>>([]),
    Effect.catch((error) => Effect.succeed([{ path: "firewall.geoip_db", message: error.message }]))
  )
