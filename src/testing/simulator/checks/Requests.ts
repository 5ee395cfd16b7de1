/**
 * Each request is answered at most once, and once where nothing came in between; what a backend gets and what a client
 * gets are the beginning of what the other has sent, and all of it where they are told so. A backend is asked again only
 * where it has said that it did nothing, is told who its client is by the proxy alone, and the log says what happened.
 */
import type { RequestEntry } from "../../../observe/AccessLog.ts"
import { concat, startsWith } from "../../Bytes.ts"
import { nameOf, type ClientPlan } from "../ClientPlan.ts"
import { conversationsOf, type Conversation } from "../Conversations.ts"
import { History } from "../History.ts"
import type { Check, SimRun } from "../SimRun.ts"
import { answerBody, answerTrailer, pathOf, requestBody } from "../WebPlan.ts"
import type { RequestRecord, ServedRecord } from "../WebRecords.ts"
import { isOf } from "./Bytes.ts"
import { allowedStatuses, isLeftUnanswered, type RequestCircumstances } from "./RequestFates.ts"

export const checkRequests: Check = (run) => {
  const conversations = new Map(conversationsOf(run).all.map((one) => [one.client.plan.number, one]))
  const history = new History(run.events)
  const served = Map.groupBy(run.served, ({ client, index }) => pathOf(client, index))
  const lines = linesOf(run)
  return run.requests.flatMap((request) => {
    const conversation = conversations.get(request.client)
    if (conversation === undefined || request.sentAt === undefined) return []
    const path = pathOf(request.client, request.index)
    const circumstances = { run, history, conversation, request, served: served.get(path) ?? [] }
    const problems = [
      ...checkServed(conversation.client.plan, circumstances.served, request),
      ...checkCancelled(circumstances),
      ...checkAnswer(circumstances),
      ...checkLines(circumstances, lines.get(path) ?? [])
    ]
    return problems.map((problem) => `request ${path} of ${nameOf(conversation.client.plan)} ${problem}`)
  })
}

const linesOf = ({ events }: SimRun): ReadonlyMap<string, ReadonlyArray<RequestEntry>> =>
  Map.groupBy(
    events.flatMap((event) => (event._tag === "RequestLogged" ? [event.entry] : [])),
    ({ path }) => path
  )

const checkServed = (plan: ClientPlan, served: ReadonlyArray<ServedRecord>, request: RequestRecord) => {
  const problems: Array<string> = []
  if (served.filter(({ isRefused }) => !isRefused).length > 1) problems.push("has been sent more than once")
  const sent = requestBody(request.client, request.index, request.plan)
  const { body: planned } = request.plan
  for (const { body, end, fields, header, method, trailer } of served) {
    const bytes = concat(...body)
    if (!startsWith(sent, bytes)) problems.push("has another body for its backend")
    if (end === "whole" && bytes.length < sent.length) problems.push("is whole for its backend, and its body is not")
    const isOwed = end === "whole" && sent.length > 0 && !planned.isDeclared
    if ((isOwed || trailer !== "") && trailer !== planned.trailer) problems.push("has another trailer for its backend")
    if (method !== request.plan.method) problems.push("has another method for its backend")
    if (header.length > 0 && !isOf(header, plan)) problems.push("comes from another than the PROXY header names")
    problems.push(...checkFields(plan, fields))
  }
  return problems
}

/** Nobody goes on with what nobody waits for. */
const checkCancelled = ({ request, served }: RequestCircumstances): ReadonlyArray<string> => {
  const { cancelledMs } = request
  if (cancelledMs === undefined) return []
  const isLate = served.some(({ goneMs }) => goneMs === undefined || goneMs > cancelledMs + CANCEL_MS)
  return isLate ? ["is cancelled, and its backend is not told in time"] : []
}

/** As long as what is on its way before may take, where little at a time is. */
const CANCEL_MS = 500

/** Said by the proxy, whatever the client has said. */
const checkFields = ({ hostname, source }: ClientPlan, fields: ServedRecord["fields"]): ReadonlyArray<string> => {
  const expected = new Map([
    ["x-forwarded-for", source.ip.text],
    ["x-real-ip", source.ip.text],
    ["x-forwarded-proto", "https"],
    ["x-forwarded-host", hostname]
  ])
  const told = new Map<string, Array<string>>()
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!.toLowerCase().replaceAll("_", "-")
    told.set(name, [...(told.get(name) ?? []), fields[i + 1]!])
  }
  const wrong = [...expected].filter(([name, value]) => told.get(name)?.join() !== value)
  return [
    ...wrong.map(([name]) => `tells its backend ${name}: ${told.get(name)?.join() ?? "nothing"}`),
    ...(told.has("forwarded") ? ["tells its backend what its client has forged"] : [])
  ]
}

const checkAnswer = (around: RequestCircumstances): ReadonlyArray<string> => {
  const { request } = around
  const { plan, statuses } = request
  if (statuses.length > 1) return [`is answered ${statuses.length} times`]
  const [status] = statuses
  if (status === undefined) return isLeftUnanswered(around) ? [] : ["is not answered"]
  const problems: Array<string> = []
  const allowed = allowedStatuses(around)
  if (!allowed.has(status)) problems.push(`is answered ${status}, and may be ${[...allowed].join(", ")}`)
  if (!request.isBackends) return problems
  const whole = plan.method === "HEAD" ? new Uint8Array(0) : answerBody(request.client, request.index, plan.answer)
  const bytes = concat(...request.body)
  if (!startsWith(whole, bytes)) problems.push("got what its backend has not sent")
  const { kind } = plan.answer
  const trailer = answerTrailer(plan.method, plan.answer)
  if (request.trailer !== "" && request.trailer !== trailer) problems.push("got another trailer")
  if (request.end !== "whole") return problems
  if (request.trailer !== trailer) problems.push("got no trailer, and takes that for whole")
  if (bytes.length < whole.length) problems.push("got less than its backend has sent, and takes it for whole")
  if (kind === "cut" && whole.length > 0) problems.push("takes for whole what its backend has cut off")
  return problems
}

/** A line each, which says what the client was told; a process that is lost writes none. */
const checkLines = (around: RequestCircumstances, lines: ReadonlyArray<RequestEntry>): ReadonlyArray<string> => {
  const { conversation, request } = around
  if (lines.length > 1) return ["is logged more than once"]
  const [line] = lines
  const [status] = request.statuses
  if (line === undefined) return isEnded(conversation) && status !== undefined ? ["is not in the log"] : []
  if (status === undefined || line.status === status) return []
  return [`is logged as ${line.status ?? "unanswered"}, and was answered ${status}`]
}

const isEnded = ({ entry }: Conversation): boolean => entry !== undefined
