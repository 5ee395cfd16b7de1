/** Each accepted connection ends in exactly one outcome, and that is one it may have. */
import type { Outcome } from "../../../pipeline/Outcome.ts"
import { nameOf } from "../ClientPlan.ts"
import { conversationsOf, visitBytes, type Conversation } from "../Conversations.ts"
import { expectedOutcomes, innerOutcomes, type Surroundings } from "../Expected.ts"
import { History } from "../History.ts"
import type { SimEvent } from "../Journal.ts"
import { ADDED } from "../Site.ts"
import type { Check, SimRun } from "../SimRun.ts"

export const checkOutcomes: Check = (run) => {
  const { all, strays } = conversationsOf(run)
  const history = new History(run.events)
  const faults = run.events.flatMap((event, index) => (event._tag === "Fault" ? [{ event, index }] : []))
  const problems: Array<string> = []
  // A client that has reset before it was accepted has no address any more.
  let nameless = 0
  for (const { id, outcome, peer } of strays) {
    if (peer === "" && BEFORE_ITS_ADDRESS.has(outcome)) nameless++
    else problems.push(`connection ${id} (${peer}) has ended twice, or was never accepted: ${outcome}`)
  }
  for (const conversation of all) {
    const { client, endedAt, entry } = conversation
    const around = surroundingsOf(run, history, faults, conversation)
    if (entry === undefined) {
      const excused = client.plan.listener === ADDED || wasLost(run, conversation)
      const { kind, web } = client.plan
      const breaksOff = kind === "resetting" || kind === "breaking" || web?.handshake.kind === "breaking"
      const leaves = breaksOff || web?.resetAfterMs !== undefined || around.wasReset
      if (!excused && !(leaves && nameless-- > 0)) problems.push(`${nameOf(client.plan)} was accepted and never ended`)
      continue
    }
    const { id, outcome } = entry
    const allowed = expectedOutcomes(client.plan, around)
    const fromOutside = isFromOutside(run, outcome, id, endedAt)
    if (!allowed.has(outcome) && !fromOutside) {
      problems.push(`${nameOf(client.plan)} ended as ${outcome}, and may as ${[...allowed].join(", ")}`)
    }
    // Behind the edge it may last a little longer, and meet what happens then.
    problems.push(
      ...checkInner(conversation, surroundingsOf(run, history, faults, { ...conversation, endedAt: Infinity }))
    )
  }
  return problems
}

const BEFORE_ITS_ADDRESS: ReadonlySet<Outcome> = new Set(["reset", "max_connections", "descriptors"])

/** The second proxy has as many connections as reach it, and they end as they may. */
const checkInner = ({ client, entry, innerEntries }: Conversation, around: Surroundings): ReadonlyArray<string> => {
  const name = nameOf(client.plan)
  if (innerEntries.length > 1) return [`${name} has come to the second proxy more than once`]
  const inner = innerEntries[0]?.outcome
  if (inner === undefined) return []
  if (entry?.outcome === "done" || inner === "done") {
    return entry?.outcome === inner || around.wasReset || entry?.outcome !== "done"
      ? []
      : [`${name} is done at the edge and ended as ${inner} behind it`]
  }
  // The edge may have ended it at any moment, or the second proxy been told to stop.
  const allowed: ReadonlyArray<Outcome> = [...innerOutcomes(client.plan, around), "reset", "shutdown"]
  return allowed.includes(inner)
    ? []
    : [`${name} ended at the second proxy as ${inner}, and may as ${allowed.join(", ")}`]
}

interface NumberedFault {
  readonly event: Extract<SimEvent, { readonly _tag: "Fault" }>
  readonly index: number
}

const surroundingsOf = (
  run: SimRun,
  history: History,
  allFaults: ReadonlyArray<NumberedFault>,
  conversation: Conversation
): Surroundings => {
  const { acceptedAt, client, endedAt } = conversation
  const { number } = client.plan
  const faults = allFaults
    .filter(({ event, index }) => {
      if (index > endedAt) return false
      // A look-up that was begun in silence is waited for by all who come later.
      return event.kind === "names_silent" || event.until >= run.events[acceptedAt]!.at
    })
    .map(({ event }) => event)
  const wasReset = faults.some(({ kind, subject }) => {
    if (kind === "client_reset") return subject === nameOf(client.plan)
    if (kind !== "backend_reset") return false
    const visit = run.visits[Number(subject.slice(subject.indexOf(" ") + 1))]!
    const { number: found } = visitBytes(visit)
    return found === number || found === undefined
  })
  return { plan: run.plan, history, acceptedAt, faults, wasReset }
}

/** Its process was lost, or on its way down already when it came. */
const wasLost = ({ events }: SimRun, { acceptedAt }: Conversation): boolean => {
  const processes = events.flatMap((event, index) => (event._tag === "Process" ? [{ what: event.what, index }] : []))
  const before = processes.findLast(({ index }) => index < acceptedAt)
  const isDown = before?.what === "lost" || before?.what === "not_started"
  return isDown || processes.some(({ index, what }) => index > acceptedAt && what === "lost")
}

/** Ended by an operator, or because the time for draining was over. */
const isFromOutside = ({ events, plan }: SimRun, outcome: Outcome, id: string, endedAt: number): boolean => {
  if (outcome === "closed_by_admin") {
    return events.some((event, index) => event._tag === "CloseAsked" && event.id === id && index < endedAt)
  }
  if (outcome !== "shutdown") return false
  const told = events.findLast(
    (event, index) => event._tag === "Process" && event.what === "told_to_stop" && index < endedAt
  )
  return told !== undefined && events[endedAt]!.at >= told.at + plan.shutdownTimeoutMs
}
