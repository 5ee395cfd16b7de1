/**
 * Who is refused by the firewall has no byte read, reaches no backend, spends no quota, and is told nothing; nobody who
 * is refused anywhere is told anything but a reset, unless TLS has told it already.
 */
import type { Outcome } from "../../../pipeline/Outcome.ts"
import { nameOf } from "../ClientPlan.ts"
import { conversationsOf, visitBytes, type Conversation } from "../Conversations.ts"
import { PROXIED } from "../Site.ts"
import type { Check, SimRun } from "../SimRun.ts"

export const checkBlocked: Check = (run) => {
  const { all } = conversationsOf(run)
  const read = connectionsRead(run)
  const visitors = new Set([
    ...run.visits.map((visit) => visitBytes(visit).number),
    ...run.served.map(({ client }) => client)
  ])
  return all.flatMap((conversation) => {
    const { client, connection, entry } = conversation
    if (entry === undefined || CARRIED.has(entry.outcome)) return []
    const { plan, received } = client
    const problems: Array<string> = []
    const told = received !== undefined && (received.bytes.length > 0 || received.end === "FIN")
    if (told && !SHAKEN.has(entry.outcome))
      problems.push(`is told something although it is refused as ${entry.outcome}`)
    if (visitors.has(plan.number)) problems.push(`has reached a backend although it is refused as ${entry.outcome}`)
    if (FIREWALLED.has(entry.outcome)) {
      // On the others the PROXY header has to be read.
      if (plan.listener !== PROXIED && read.has(connection)) problems.push("has had bytes read although it is blocked")
      if (entry.outcome !== "rate_limited" && spentQuota(run, all, conversation)) {
        problems.push("has spent quota although it is blocked")
      }
    }
    return problems.map((problem) => `${nameOf(plan)} ${problem}`)
  })
}

/** Outcomes of those who may have been carried to a backend. */
const CARRIED: ReadonlySet<Outcome> = new Set([
  "done",
  "reset",
  "idle_timeout",
  "half_close_timeout",
  "closed_by_admin",
  "shutdown"
])

/** Outcomes of those who have been answered by TLS, and by nobody else. */
const SHAKEN: ReadonlySet<Outcome> = new Set(["handshake_failed", "handshake_timeout"])

const FIREWALLED: ReadonlySet<Outcome> = new Set(["blocked_ip", "blocked_cidr", "blocked_country", "rate_limited"])

/** By the kernel at the edge's end. */
const connectionsRead = ({ events }: SimRun): ReadonlySet<number> =>
  new Set(
    events.flatMap((event) =>
      event._tag === "Network" && event.event.kind === "read" && event.event.side === "listener"
        ? [event.event.connection]
        : []
    )
  )

/** Whether the limiter was asked for its source while nobody else of that source was there. */
const spentQuota = ({ events }: SimRun, all: ReadonlyArray<Conversation>, blocked: Conversation): boolean => {
  const { acceptedAt, client, endedAt } = blocked
  const source = client.plan.source.ip.text
  const others = all.some(
    (other) =>
      other !== blocked &&
      other.client.plan.source.ip.text === source &&
      other.acceptedAt < endedAt &&
      other.endedAt > acceptedAt
  )
  if (others) return false
  return events.slice(acceptedAt, endedAt).some((event) => event._tag === "Limiter" && event.source === source)
}
