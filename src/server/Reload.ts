/** Reads the files again that the operator may have replaced. A bad one is logged, and the old one kept. */
import { Effect } from "effect"
import type { Reloaded } from "../control/Follower.ts"
import { GeoIp } from "../firewall/GeoIp.ts"
import { Certificates } from "../tls/Certificates.ts"

export const reload: Effect.Effect<Reloaded, never, GeoIp | Certificates> = Effect.gen(function* () {
  const geoIp = yield* reloadGeoIp
  const certificates = yield* reloadCertificates
  const reloaded = [...geoIp.reloaded, ...certificates.reloaded]
  const failed = [...geoIp.failed, ...certificates.failed]
  if (reloaded.length + failed.length === 0) {
    yield* Effect.logInfo("nothing to reload: no GeoIP database is configured, and no route has a certificate")
  }
  return { reloaded, failed }
}).pipe(Effect.withSpan("Reload.reload"))

const reloadGeoIp = Effect.gen(function* () {
  const { path, reason } = yield* (yield* GeoIp).reload.pipe(
    Effect.match({
      onFailure: ({ message, path }) => ({ path, reason: message }),
      onSuccess: (path) => ({ path, reason: undefined })
    })
  )
  if (path === undefined) return { reloaded: [], failed: [] }
  if (reason === undefined) {
    yield* Effect.annotateLogs(Effect.logInfo("reloaded"), { path })
    return { reloaded: [path], failed: [] }
  }
  yield* Effect.annotateLogs(Effect.logError("kept the old file"), { path, reason })
  return { reloaded: [], failed: [{ path, reason }] }
})

/** Thousands may be there, and get one line. */
const reloadCertificates = Effect.gen(function* () {
  const { failed, reloaded } = yield* (yield* Certificates).reload
  const files = reloaded.length
  if (files > 0) yield* Effect.annotateLogs(Effect.logInfo("reloaded certificates and keys"), { files })
  return { reloaded, failed }
})
