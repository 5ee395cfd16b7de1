/** What a config may ask for and this version does not do yet. Nothing that an operator wrote is passed over in silence. */
import type { Config } from "./Config.ts"
import type { Listener } from "../snapshot/Snapshot.ts"
import type { ConfigProblem } from "./ConfigError.ts"

/** Routes that would not be served: reasons not to start. */
export const unservedRoutes = (listeners: ReadonlyArray<Listener>): ReadonlyArray<ConfigProblem> =>
  listeners.flatMap((listener, i) =>
    listener.routes.flatMap((route, j) =>
      route.mode === "l7"
        ? [
            {
              path: `listeners[${i}].routes[${j}].mode`,
              message: '"l7" is not served by this version yet; use "l4", and let the backend terminate TLS'
            }
          ]
        : []
    )
  )

/** Sections without effect: warnings. */
export const unservedSections = (config: Config): ReadonlyArray<string> => [
  `database.path: ${config.database.path} is not used by this version yet; ` +
    "listeners, routes and rules are read from this file at every start",
  ...(["grpc", "metrics", "tracing"] as const)
    .filter((section) => config[section] !== undefined)
    .map((section) => `${section}: not served by this version yet; the section has no effect`)
]
