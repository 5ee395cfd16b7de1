/** What a config may ask for and this version does not do yet. Nothing that an operator wrote is passed over in silence. */
import type { State } from "../snapshot/Change.ts"
import type { Config } from "./Config.ts"
import type { Listener } from "../snapshot/Snapshot.ts"
import type { ConfigProblem } from "./ConfigError.ts"

/** Routes of the file that would not be served: reasons not to start from it. */
export const unservedRoutes = (listeners: ReadonlyArray<Listener>): ReadonlyArray<ConfigProblem> =>
  listeners.flatMap((listener, i) =>
    listener.routes.flatMap((route, j) =>
      route.mode === "l7" ? [{ path: `listeners[${i}].routes[${j}].mode`, message: NO_L7 }] : []
    )
  )

/** What keeps the state that a database holds from being served under this config, each by the item's name. */
export const unservedState = (
  { firewallRules, listeners }: State,
  { firewall }: Config
): ReadonlyArray<ConfigProblem> => {
  const routes = listeners.flatMap(({ addr, routes }) =>
    routes.flatMap(({ hostname, mode }) =>
      mode === "l7" ? [{ path: `route ${hostname} on ${addr}`, message: NO_L7 }] : []
    )
  )
  const countries = firewallRules.filter(({ type }) => type === "country").map(({ value }) => value)
  if (countries.length === 0 || firewall.geoipDb !== "") return routes
  const shown = countries.slice(0, COUNTRIES_SHOWN_MAX).join(", ")
  const rules = countries.length > COUNTRIES_SHOWN_MAX ? `${shown}, …` : shown
  const message = `need a database to tell countries by; set firewall.geoip_db to the path of an .mmdb file`
  return [...routes, { path: `country rules (${rules})`, message }]
}

const NO_L7 = '"l7" is not served by this version yet; use "l4", and let the backend terminate TLS'

/** Enough to recognise the list. */
const COUNTRIES_SHOWN_MAX = 5

/** Sections without effect: warnings. */
export const unservedSections = (config: Config): ReadonlyArray<string> =>
  (["grpc", "metrics", "tracing"] as const)
    .filter((section) => config[section] !== undefined)
    .map((section) => `${section}: not served by this version yet; the section has no effect`)
