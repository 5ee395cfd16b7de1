/** `mcproxyctl reload`: reads the GeoIP database and certificates again, as SIGHUP does. */
import { Data, Effect } from "effect"
import { Command } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import { formatProblems } from "../config/ConfigError.ts"
import { answer } from "./Output.ts"

export const reloadCommand = Command.make("reload", {}, () =>
  Effect.gen(function* () {
    const result = yield* (yield* AdminClient).reload({})
    const { failed, reloaded } = result
    const nothing = reloaded.length + failed.length === 0
    yield* answer("reload", result, () =>
      nothing ? ["nothing to reload: no GeoIP database and no certificate is in use"] : reloaded.map(reloadedLine)
    )
    if (failed.length === 0) return
    const problems = failed.map(({ path, reason }) => ({ path, message: reason }))
    return yield* new ReloadFailed({ message: formatProblems("kept as they were", problems) })
  })
).pipe(
  Command.withDescription("Read the GeoIP database and certificates again; a bad file keeps the old one, and exits 1")
)

const reloadedLine = (path: string): string => `reloaded ${path}`

/** `message` names each file, and why it was not taken. */
class ReloadFailed extends Data.TaggedError("ReloadFailed")<{ readonly message: string }> {}
