/**
 * Connections to backends are used again: where a client has one of its own, since its backend is told who it is, what it
 * asks one after the other and gets whole goes on that one.
 */
import type { Check, SimRun } from "../SimRun.ts"
import { pathOf } from "../WebPlan.ts"
import type { RequestRecord, ServedRecord } from "../WebRecords.ts"

export const checkReuse: Check = (run) => {
  const requests = new Map(run.requests.map((request) => [pathOf(request.client, request.index), request]))
  const followsOnAnother = (record: ServedRecord, before: ServedRecord | undefined): boolean =>
    before !== undefined &&
    before.visit !== record.visit &&
    isKept(before, requests.get(pathOf(before.client, before.index)))
  return [...Map.groupBy(run.served, ({ client }) => client).values()]
    .filter((served) => isOwn(run, served))
    .flatMap((served) => served.filter((record, i) => followsOnAnother(record, served[i - 1])))
    .map(({ client, index }) => `request ${pathOf(client, index)} comes on a new connection, and there was a free one`)
}

/** One request at a time, all to one backend of which no connection was lost, and each connection for that client alone. */
const isOwn = ({ events, plan }: SimRun, served: ReadonlyArray<ServedRecord>): boolean => {
  const { backend, client } = served[0]!
  const web = plan.clients[client]?.web
  // What was sent ahead goes on in the moment in which the connection before is about to be free.
  const isSequential = web?.alpn.includes("h2") === false && !web.isPipelined
  const wasReset = events.some(
    (event) => event._tag === "Fault" && event.kind === "web_reset" && event.subject === backend.name
  )
  return isSequential && !wasReset && served.every((one) => one.backend === backend && one.header.length > 0)
}

/** Nothing about the exchange ends its connection. */
const isKept = ({ end }: ServedRecord, request: RequestRecord | undefined): boolean => {
  if (end !== "whole" || request?.end !== "whole" || request.plan.kind === "websocket") return false
  const { answer, body } = request.plan
  return answer.kind === "whole" || (answer.kind === "early" && body.bytes === 0)
}
