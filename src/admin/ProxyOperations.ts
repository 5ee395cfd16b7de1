/** `getStatus`, `importState`, `reload`, `snapshot`. */
import type { FileSystem, Path } from "effect"
import { Clock, DateTime, Effect, Result } from "effect"
import { checkCertificates } from "../config/CertificateCheck.ts"
import { ControlPlane } from "../control/ControlPlane.ts"
import { Drain } from "../control/Drain.ts"
import { Follower } from "../control/Follower.ts"
import { diff } from "../snapshot/Change.ts"
import { copyDatabase } from "../store/DatabaseCopy.ts"
import { differences } from "../store/Difference.ts"
import { AlreadyExists, FailedPrecondition, InvalidArgument } from "./AdminError.ts"
import type { Request } from "./AdminRpcs.ts"
import { AdminSettings } from "./AdminSettings.ts"
import { certificateProblems, noGeoIp, problemsOf } from "./Replies.ts"
import { readPath, readState } from "./Requests.ts"

export const proxyOperations = Effect.gen(function* () {
  const control = yield* ControlPlane
  const follower = yield* Follower
  const drain = yield* Drain
  const settings = yield* AdminSettings
  const files = yield* Effect.context<FileSystem.FileSystem | Path.Path>()

  return {
    getStatus: Effect.fn("getStatus")(function* () {
      const { revision, state } = control.current
      const status = yield* follower.status
      const problems = certificateProblems(status.certificateProblems)
      const now = yield* Clock.currentTimeMillis
      return {
        version: settings.version,
        startedAt: DateTime.makeUnsafe(status.startedAt),
        uptime: Math.max(0, now - status.startedAt),
        totalConnections: status.connectionsTotal,
        activeConnections: status.connectionsActive,
        listeners: state.listeners.map((listener) => ({
          ...listener,
          routeCount: state.routeCount(listener.addr),
          activeConnections: status.activeByListener[listener.addr] ?? 0,
          problems: problemsOf(state.routes(listener.addr), problems)
        })),
        draining: drain.began,
        revision
      }
    }),

    importState: Effect.fn("importState")(function* (request: Request<"importState">) {
      const wanted = yield* Effect.fromResult(readState(request.listeners, request.firewallRules))
      if (settings.geoipDb === "" && wanted.firewallRules.some(({ type }) => type === "country"))
        return yield* noGeoIp()
      const problems = yield* checkCertificates(wanted.listeners)
      if (problems.length > 0) {
        const message = problems.map(({ message, path }) => `${path}: ${message}`).join("\n")
        return yield* new InvalidArgument({ message })
      }
      if (request.dryRun) return { differences: differences(control.current.state.toState(), wanted) }
      const lines = yield* control.mutate((state) => {
        const before = state.toState()
        return Result.succeed({ change: diff(before, wanted), answer: differences(before, wanted) })
      })
      return { differences: lines }
    }, Effect.provide(files)),

    reload: () => follower.reload,

    snapshot: Effect.fn("snapshot")(function* (request: Request<"snapshot">) {
      const path = yield* Effect.fromResult(readPath("path", request.path))
      const bytes = yield* copyDatabase(settings.database, path).pipe(
        Effect.catchTags({
          AlreadyThere: ({ message }) => new AlreadyExists({ message }),
          DatabaseError: ({ message }) => new FailedPrecondition({ message })
        })
      )
      return { bytes }
    }, Effect.provide(files))
  }
})
