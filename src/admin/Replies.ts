/** What operations answer with, from the state's own values; and the refusals that several of them share. */
import { DateTime } from "effect"
import type { CertificateProblem } from "../control/Follower.ts"
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

/** What keeps routes of a listener from being served, or from being served with what their files hold now. */
export const problemsOf = (routes: ReadonlyArray<Route>, certificates: CertificateProblems): ReadonlyArray<string> => {
  const problems = routes.flatMap((route) => {
    if (route.mode === "l4") return []
    const found = certificates.get(filesOf(route))
    return found === undefined ? [] : [`route ${route.hostname}: ${describeCertificate(found)}`]
  })
  const more = problems.length - PROBLEMS_SHOWN_MAX
  return more > 0 ? [...problems.slice(0, PROBLEMS_SHOWN_MAX), `and ${more} more L7 routes`] : problems
}

/** By the files that a route names. */
export type CertificateProblems = ReadonlyMap<string, CertificateProblem>

export const certificateProblems = (problems: ReadonlyArray<CertificateProblem>): CertificateProblems =>
  new Map(problems.map((problem) => [filesOf(problem), problem]))

const filesOf = ({ tlsCert, tlsKey }: { readonly tlsCert: string; readonly tlsKey: string }): string =>
  `${tlsCert}\0${tlsKey}`

const describeCertificate = ({ problem, served }: CertificateProblem): string =>
  `${problem}; ${served ? "the certificate from before is served" : "its connections are reset"}`

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
