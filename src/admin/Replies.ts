/** What operations answer with, from the state's own values; and the refusals that several of them share. */
import { DateTime } from "effect"
import { L7_UNSERVED } from "../config/Unserved.ts"
import type { Explanation } from "../pipeline/Explain.ts"
import type { ConnectionEvent, ConnectionView } from "../server/ConnectionView.ts"
import type { Route } from "../snapshot/Snapshot.ts"
import { FailedPrecondition, NotFound } from "./AdminError.ts"
import { Route as RouteReply, type Connection, type ConnectionEvent as EventReply } from "./AdminSchema.ts"
import type { Explanation as ExplanationReply } from "./AdminSchema.ts"

export const noListener = (addr: string): NotFound =>
  new NotFound({ message: `listener_addr: there is no listener ${addr}` })

export const noGeoIp = (): FailedPrecondition =>
  new FailedPrecondition({
    message:
      "firewall.geoip_db is not set, so that no country can be told; set it in the config file and start the proxy again"
  })

/** Options of L7 alone have their defaults on an L4 route. */
export const toRoute = (route: Route): RouteReply => RouteReply.make(route)

/** What keeps routes of a listener from being served. */
export const problemsOf = (routes: ReadonlyArray<Route>): ReadonlyArray<string> => {
  const unserved = routes.filter(({ mode }) => mode === "l7")
  const shown = unserved.slice(0, PROBLEMS_SHOWN_MAX).map(({ hostname }) => `route ${hostname}: ${L7_UNSERVED}`)
  const more = unserved.length - shown.length
  return more > 0 ? [...shown, `and ${more} more L7 routes`] : shown
}

/** As many as somebody reads; the status of a proxy with thousands of routes stays small. */
const PROBLEMS_SHOWN_MAX = 20

export const toConnection = (view: ConnectionView): Connection => ({
  id: view.id,
  listenerAddr: view.listener,
  client: view.client,
  hostname: view.hostname,
  backend: view.backend,
  mode: view.mode,
  openedAt: DateTime.makeUnsafe(view.openedAt),
  bytesFromClient: view.bytesFromClient,
  bytesFromBackend: view.bytesFromBackend,
  peer: view.peer,
  country: view.country
})

export const toEvent = (event: ConnectionEvent): EventReply => {
  switch (event._tag) {
    case "Opened":
      return { event: "opened", connection: toConnection(event.connection), outcome: "", dropped: 0 }
    case "Closed":
      return { event: "closed", connection: toConnection(event.connection), outcome: event.outcome, dropped: 0 }
    case "Dropped":
      return { event: "dropped", outcome: "", dropped: event.count }
  }
}

export const toExplanation = ({ country, outcome, route, rule, stages }: Explanation): ExplanationReply => ({
  outcome,
  country,
  stages,
  ...(rule === undefined ? {} : { matchedRule: rule }),
  ...(route === undefined ? {} : { route: toRoute(route) })
})
