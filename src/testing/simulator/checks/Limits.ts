/**
 * Limits hold: a listener has no more connections than it may, and refuses nobody while it has fewer; a source is
 * admitted no more often in a window than it may be, and refused only when it was. The descriptor budget is watched
 * while the simulation runs.
 */
import { nameOf } from "../ClientPlan.ts"
import { conversationsOf } from "../Conversations.ts"
import { History, limitItem } from "../History.ts"
import type { Check } from "../SimRun.ts"

export const checkLimits: Check = (run) => [...checkConnections(run), ...checkRate(run)]

const checkConnections: Check = (run) => {
  const { all } = conversationsOf(run)
  const history = new History(run.events)
  return all.flatMap(({ acceptedAt, client, entry }) => {
    if (entry === undefined) return []
    const { listener } = client.plan
    const others = all.filter(
      (other) =>
        other.client.plan.listener === listener &&
        other.acceptedAt < acceptedAt &&
        other.endedAt > acceptedAt &&
        other.entry?.outcome !== "max_connections" &&
        !isLostBetween(run.events, other.acceptedAt, acceptedAt)
    )
    // Of who has reset before it was accepted the end is not known, nor whether it was let in.
    const most = others.length
    const least = others.filter((other) => other.entry !== undefined).length
    const limits = [...history.possible(limitItem(listener), acceptedAt)].map(Number).filter((limit) => limit > 0)
    const unlimited = limits.length < history.possible(limitItem(listener), acceptedAt).size
    const name = nameOf(client.plan)
    if (entry.outcome === "max_connections") {
      return most >= Math.min(...limits) ? [] : [`${name} was refused although ${listener} had only ${most}`]
    }
    if (unlimited || least < Math.max(...limits)) return []
    return [`${name} was let in although ${listener} had ${least} already`]
  })
}

/** A process takes its connections along when it is lost. */
const isLostBetween = (events: Parameters<Check>[0]["events"], from: number, to: number): boolean =>
  events.some((event, index) => index > from && index < to && event._tag === "Process" && event.what === "lost")

const checkRate: Check = ({ events, plan }) => {
  const { limit, windowMs } = plan.rateLimit
  if (limit === 0) return []
  const problems: Array<string> = []
  let admitted: Array<{ readonly source: string; readonly at: number }> = []
  for (const event of events) {
    // A new process remembers nobody.
    if (event._tag === "Process" && event.what === "serving") admitted = []
    if (event._tag !== "Limiter") continue
    const { at, source } = event
    const recent = admitted.filter((one) => one.source === source && one.at > at - windowMs).length
    if (event.admitted && recent >= limit) problems.push(`${source} was admitted once more after ${recent} times`)
    if (!event.admitted && recent < limit) problems.push(`${source} was refused after ${recent} times`)
    if (event.admitted) admitted.push({ source, at })
  }
  return problems
}
