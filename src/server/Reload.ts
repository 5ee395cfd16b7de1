/** Reads the files again that the operator may have replaced. A bad one is logged, and the old one kept. */
import { Effect } from "effect"
import type { Reloaded } from "../control/Follower.ts"
import { GeoIp } from "../firewall/GeoIp.ts"

export const reload: Effect.Effect<Reloaded, never, GeoIp> = Effect.gen(function* () {
  const { path, reason } = yield* (yield* GeoIp).reload.pipe(
    Effect.match({
      onFailure: ({ message, path }) => ({ path, reason: message }),
      onSuccess: (path) => ({ path, reason: undefined })
    })
  )
  if (path === undefined) {
    yield* Effect.logInfo("nothing to reload: no GeoIP database is configured")
    return { reloaded: [], failed: [] }
  }
  if (reason === undefined) {
    yield* Effect.annotateLogs(Effect.logInfo("reloaded"), { path })
    return { reloaded: [path], failed: [] }
  }
  yield* Effect.annotateLogs(Effect.logError("kept the old file"), { path, reason })
  return { reloaded: [], failed: [{ path, reason }] }
}).pipe(Effect.withSpan("Reload.reload"))
