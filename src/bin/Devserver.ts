/** `mc-proxy devserver`: a folder with everything to try the proxy, the demo backends, and the proxy itself. */
import { Console, Effect } from "effect"
import { loadConfig } from "../config/Config.ts"
import { prepare, startBackends } from "../devserver/Devserver.ts"
import { instructions } from "../devserver/Instructions.ts"
import { readSeeded } from "../store/Seeding.ts"
import { serve } from "./Server.ts"

/** Runs until a signal stops it. */
export const devserver = Effect.fn("devserver")(function* (folder: string) {
  const prepared = yield* prepare(folder)
  const config = yield* loadConfig(prepared.configFile, process.env)
  const stored = yield* readSeeded(config.database.path)
  // What the proxy will serve, which after the first run is not the file's.
  const served = { ...config, listeners: (stored ?? config).listeners }
  yield* startBackends(served, prepared)
  yield* serve(prepared.configFile, config, (bound) =>
    Console.log(instructions({ prepared, config: served, bound, environment: process.env }))
  )
}, Effect.scoped)
