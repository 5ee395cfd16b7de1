/**
 * Each request is answered at most once, and once and whole where nothing came in between. What a client gets is the
 * beginning of what its backend has sent, and all of it, trailers included, where it is told so. The log says what
 * happened.
 */
import type { RequestEntry } from "../../../observe/AccessLog.ts"
import { concat, startsWith } from "../../Bytes.ts"
import { nameOf } from "../ClientPlan.ts"
import { conversationsOf, type Conversation } from "../Conversations.ts"
import { History } from "../History.ts"
import type { Check, SimRun } from "../SimRun.ts"
import { answerBody, answerTrailer, isAccepted, pathOf, type RequestPlan } from "../WebPlan.ts"
import type { RequestRecord } from "../WebRecords.ts"
import {
  allowedStatuses,
  isEndedEarly,
  isLeftUnanswered,
  isEndAmbiguous,
  mayBeCut,
  type RequestCircumstances
} from "./RequestFates.ts"
import { checkServed } from "./RequestsServed.ts"

export const checkRequests: Check = (run) => {
  const conversations = new Map(conversationsOf(run).all.map((one) => [one.client.plan.number, one]))
  const history = new History(run.events)
  const served = Map.groupBy(run.served, ({ client, index }) => pathOf(client, index))
  const lines = linesOf(run)
  const problems = run.requests.flatMap((request) => {
    const conversation = conversations.get(request.client)
    if (conversation === undefined || request.sentAt === undefined) return []
    const path = pathOf(request.client, request.index)
    const circumstances = { run, history, conversation, request, served: served.get(path) ?? [] }
    const problems = [
      ...checkServed(circumstances),
      ...checkAnswer(circumstances),
      ...checkLines(circumstances, lines.get(path) ?? [])
    ]
    return problems.map((problem) => `request ${path} of ${nameOf(conversation.client.plan)} ${problem}`)
  })
  return [...problems, ...checkDawdlers(run, history, conversations)]
}

/** Whose head does not become whole is told so. */
const checkDawdlers = (run: SimRun, history: History, conversations: ReadonlyMap<number, Conversation>) =>
  run.events.flatMap((event) => {
    const conversation = event._tag === "Dawdled" ? conversations.get(event.client) : undefined
    if (event._tag !== "Dawdled" || conversation === undefined || event.status === REQUEST_TIMEOUT) return []
    if (event.status === undefined && isEndedEarly(run, history, conversation)) return []
    return [`${nameOf(conversation.client.plan)} has dawdled and was answered ${event.status ?? "by nothing"}`]
  })

const REQUEST_TIMEOUT = 408

const linesOf = ({ events }: SimRun): ReadonlyMap<string, ReadonlyArray<RequestEntry>> =>
  Map.groupBy(
    events.flatMap((event) => (event._tag === "RequestLogged" ? [event.entry] : [])),
    ({ path }) => path
  )

const checkAnswer = (around: RequestCircumstances): ReadonlyArray<string> => {
  const { request } = around
  const { plan, statuses } = request
  if (statuses.length > 1) return [`is answered ${statuses.length} times`]
  const [status] = statuses
  if (status === undefined) return isLeftUnanswered(around) ? [] : ["is not answered"]
  const problems: Array<string> = []
  const allowed = allowedStatuses(around)
  const told = toldStatuses(request, status)
  if (!told.some((one) => allowed.has(one))) {
    problems.push(`is answered ${told.join(" or ")}, and may be ${[...allowed].join(", ")}`)
  }
  if (request.end === "cut" && !mayBeCut(around)) problems.push("is cut off")
  if (!request.isBackends) return problems
  const whole = hasAnswerBody(plan) ? answerBody(request.client, request.index, plan.answer) : new Uint8Array(0)
  const bytes = concat(...request.body)
  if (!startsWith(whole, bytes)) problems.push("got what its backend has not sent")
  const { kind } = plan.answer
  const trailer = answerTrailer(plan)
  if (request.trailer !== "" && request.trailer !== trailer) problems.push("got another trailer")
  if (request.end !== "whole") return problems
  if (request.trailer !== trailer) problems.push("got no trailer, and takes that for whole")
  if (isEndAmbiguous(around)) return problems
  if (bytes.length < whole.length) problems.push("got less than its backend has sent, and takes it for whole")
  if (kind === "cut" && whole.length > 0) problems.push("takes for whole what its backend has cut off")
  return problems
}

/** An answer of the proxy's own to a call of gRPC stands for another. */
const toldStatuses = ({ isBackends, plan, trailer }: RequestRecord, status: number): ReadonlyArray<number> =>
  plan.kind === "grpc" && !isBackends && status === 200 && trailer === GRPC_UNAVAILABLE ? [502, 504] : [status]

const GRPC_UNAVAILABLE = "14"

const hasAnswerBody = (plan: RequestPlan): boolean =>
  plan.method !== "HEAD" && (plan.kind !== "websocket" || isAccepted(plan))

/** A line each, which says what the client was told; a process that is lost writes none. */
const checkLines = (around: RequestCircumstances, lines: ReadonlyArray<RequestEntry>): ReadonlyArray<string> => {
  const { conversation, request } = around
  if (lines.length > 1) return ["is logged more than once"]
  const [line] = lines
  const [status] = request.statuses
  if (line === undefined) return isEnded(conversation) && status !== undefined ? ["is not in the log"] : []
  if (status === undefined || toldStatuses(request, status).some((told) => told === line.status)) return []
  return [`is logged as ${line.status ?? "unanswered"}, and was answered ${status}`]
}

const isEnded = ({ entry }: Conversation): boolean => entry !== undefined
