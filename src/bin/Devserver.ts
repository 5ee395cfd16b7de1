/** `mc-proxy devserver`: a folder with everything to try the proxy, the demo backends, and the proxy itself. */
import { Console, Effect } from "effect"
import { loadConfig } from "../config/Config.ts"
import { prepare, startBackends } from "../devserver/Devserver.ts"
import { instructions } from "../devserver/Instructions.ts"
import { serve } from "./Server.ts"

/** Runs until a signal stops it. */
export const devserver = Effect.fn("devserver")(function* (folder: string) {
  const prepared = yield* prepare(folder)
  const config = yield* loadConfig(prepared.configFile, process.env)
  yield* startBackends(config, prepared)
  yield* serve(prepared.configFile, config, (bound) =>
    Console.log(instructions({ prepared, config, bound, environment: process.env }))
  )
}, Effect.scoped)
