/** Which answers a request may have, by what it is, what its backend does, and what went on around it. */
import { nameOf } from "../ClientPlan.ts"
import type { Conversation } from "../Conversations.ts"
import { policyItem, routeItem, type History } from "../History.ts"
import type { SimRun } from "../SimRun.ts"
import type { L7Policy } from "../../../snapshot/Snapshot.ts"
import { isAccepted, type Flaw } from "../WebPlan.ts"
import type { RequestRecord, ServedRecord } from "../WebRecords.ts"
import { POLICIES, type WebBackendPlan } from "../WebSite.ts"

export interface RequestCircumstances {
  readonly run: SimRun
  readonly history: History
  readonly conversation: Conversation
  readonly request: RequestRecord
  /** As backends saw it. */
  readonly served: ReadonlyArray<ServedRecord>
}

export const allowedStatuses = (around: RequestCircumstances): ReadonlySet<number> => {
  const { plan } = around.request
  const refused = REFUSED[plan.flaw]
  if (refused !== undefined) return new Set([refused])
  const { may, must } = blocked(around)
  if (must) return new Set([403])
  const statuses = new Set(may ? [403] : [])
  for (const status of answered(around)) statuses.add(status)
  if (isBackendTroubled(around)) statuses.add(502).add(504)
  const { answer, body } = plan
  // A body that is read slowly may take longer than the proxy waits for an answer.
  if (body.bytes > 0 && answer.readPauseMs > 0) statuses.add(504)
  // Whom a connection that has ended left behind is asked for once more, unless its body has begun.
  if (connectionsLeft(around) > (body.bytes > 0 ? 0 : 1)) statuses.add(502)
  return statuses
}

const REFUSED: Readonly<Record<Flaw, number | undefined>> = {
  none: undefined,
  misdirected: 421,
  ambiguous: 400,
  oversized: 431
}

/** How many connections backends may have ended with GOAWAY while the request was on its way. */
const connectionsLeft = ({ conversation, request, run }: RequestCircumstances): number => {
  const since = run.events[conversation.acceptedAt]!.at - GOAWAY_MS
  return run.events.slice(0, request.doneAt).filter((event) => {
    if (event._tag !== "Served" || event.at < since) return false
    return run.plan.clients[event.client]?.web?.requests[event.index]?.answer.kind === "leave"
  }).length
}

/** Longer than one takes to arrive. */
const GOAWAY_MS = 100

const answered = (around: RequestCircumstances): ReadonlyArray<number> => {
  const { request, served } = around
  const { plan } = request
  const { body, kind } = plan.answer
  const isBodiless = !isAccepted(plan) && (plan.method === "HEAD" || body.bytes === 0)
  const status = isAccepted(plan) && !speaksHttp2(around) ? SWITCHING : plan.answer.status
  if (plan.kind === "websocket" && served.length === 0) {
    const backends = possibleBackends(around)
    if (backends.every(({ takesWebSockets }) => !takesWebSockets)) return [501]
    if (backends.some(({ takesWebSockets }) => !takesWebSockets)) return [501, status, 502, 504]
  }
  switch (kind) {
    case "whole":
    case "early":
    case "chatty":
    case "leave":
      return [status]
    case "cut":
      // What it has sent may be lost with what it cuts off.
      return isBodiless ? [502] : [status, 502]
    case "break":
      return [502]
    case "mute":
      return [504]
    case "refuse":
      // HTTP/1.1 has no way to say that nothing was done, and a body that has begun cannot be sent again.
      if (served.some(({ backend }) => backend.protocol !== "h2")) return [502]
      return plan.body.bytes === 0 ? [status] : [status, 502]
  }
}

const SWITCHING = 101

const speaksHttp2 = ({ conversation }: RequestCircumstances): boolean =>
  conversation.client.plan.web?.alpn.includes("h2") === true

/** Where its connection's route may have led. */
const possibleBackends = ({ conversation, history, run }: RequestCircumstances): ReadonlyArray<WebBackendPlan> => {
  const { acceptedAt, client } = conversation
  const names = history.possible(routeItem(client.plan.listener, client.plan.hostname), acceptedAt)
  return run.plan.site.webBackends.filter(({ name }) => names.has(name))
}

/** What the policies that may be in force say; `must`: one that refuses it was, all the time. */
const blocked = (around: RequestCircumstances): { readonly may: boolean; readonly must: boolean } => {
  const { conversation, history, request, run } = around
  const { hostname, listener } = conversation.client.plan
  const until = request.doneAt ?? run.events.length
  const from = request.sentAt ?? until
  const matching = POLICIES.filter((policy) => refuses(policy, request))
  // Who came under another route of that name is judged by what that had.
  const moved = history.isWritten(routeItem(listener, hostname), conversation.acceptedAt, until)
  const since = moved ? conversation.acceptedAt : from
  const states = matching.map((policy) => history.possibleBetween(policyItem(listener, hostname, policy), since, until))
  return {
    may: states.some((values) => values.has("there")),
    must: !moved && states.some((values) => !values.has(""))
  }
}

const refuses = ({ type, value }: L7Policy, { plan }: RequestRecord): boolean =>
  type === "require_header" ? !plan.hasToken : plan.agent.toLowerCase().includes(value)

/** Sockets were few, or something went wrong with its backend or the machine while it was there. */
const isBackendTroubled = (around: RequestCircumstances): boolean => {
  const { conversation, request, run } = around
  if (run.plan.socketsMax < ENOUGH_SOCKETS) return true
  const { acceptedAt } = conversation
  const backends = new Set(possibleBackends(around).map(({ name }) => name))
  const until = request.doneAt ?? run.events.length
  // Who is dialled while something is wrong is waited for after that.
  const since = run.events[acceptedAt]!.at - run.plan.settings.connectTimeoutMs - DIALLED_MS
  return run.events.some((event, index) => {
    if (event._tag !== "Fault" || index >= until || event.until < since) return false
    return event.kind === "descriptors_gone" || backends.has(event.subject)
  })
}

/** More than connecting takes. */
const DIALLED_MS = 100

/** Two for each client, and the listeners. */
const ENOUGH_SOCKETS = 200

/** It was broken off by its backend, or for the reasons for which others are not answered. */
export const mayBeCut = (around: RequestCircumstances): boolean =>
  around.request.plan.answer.kind === "cut" || isBackendTroubled(around) || isLeftUnanswered(around)

/** By no more than its connection's end does a client of HTTP/1.1 learn that a WebSocket is over, whatever has ended it. */
export const isEndAmbiguous = (around: RequestCircumstances): boolean =>
  around.request.statuses[0] === SWITCHING && mayBeCut(around)

/** Its client has left it, or its connection takes no requests any more. */
export const isLeftUnanswered = ({ conversation, history, request, run }: RequestCircumstances): boolean =>
  request.cancelledMs !== undefined || isEndedEarly(run, history, conversation)

/** Its client has left, or the connection was ended from outside, or takes no requests any more. */
export const isEndedEarly = (run: SimRun, history: History, conversation: Conversation): boolean => {
  const { acceptedAt, client, endedAt, entry } = conversation
  const { web, listener, hostname } = client.plan
  if (entry === undefined || entry.outcome !== "done") return true
  // A large head may take longer than it may, which ends the connection.
  if (web?.requests.some(({ flaw }) => flaw === "oversized") === true) return true
  if (web?.resetAfterMs !== undefined || history.isWritten(routeItem(listener, hostname), acceptedAt, endedAt))
    return true
  return run.events.some((event, index) => {
    // Even what the proxy has finished may not have reached it yet.
    if (event._tag === "Fault") return event.kind === "client_reset" && event.subject === nameOf(client.plan)
    return index < endedAt && event._tag === "Process" && event.what === "told_to_stop"
  })
}
