/**
 * Bytes in are bytes out: what a backend gets is the beginning of what its client sent, what a client gets is the
 * beginning of what its backend sent, and all of it where the connection is done. A PROXY header tells the real client.
 */
import { concat, startsWith } from "../../Bytes.ts"
import { nameOf, type ClientPlan } from "../ClientPlan.ts"
import { conversationsOf, visitBytes, type Conversation, type VisitBytes } from "../Conversations.ts"
import type { Check } from "../SimRun.ts"

export const checkBytes: Check = (run) => {
  const visits = run.visits.map((visit) => ({
    ...visitBytes(visit),
    sent: concat(...visit.sent),
    hasReset: visit.peer.connection.socket.state === "reset"
  }))
  return conversationsOf(run).all.flatMap((conversation) => {
    const { plan } = conversation.client
    if (plan.web !== undefined) return []
    const own = visits.filter(({ number }) => number === plan.number)
    // One that has not read enough to know who has come may be anybody's.
    const possible = visits.filter(({ number }) => number === plan.number || number === undefined)
    const problems = [
      ...(own.length > 1 ? ["has reached backends more than once"] : []),
      ...own.flatMap((visit) => checkRequest(plan, visit)),
      ...checkResponse(conversation, possible),
      ...checkWhole(conversation, own[0] ?? likeliest(conversation, possible))
    ]
    return problems.map((problem) => `${nameOf(plan)} ${problem}`)
  })
}

/** Of the visits that read nothing and then reset, the one that sent what the client got, where there is one. */
const likeliest = <Visit extends { readonly sent: Uint8Array; readonly hasReset: boolean }>(
  { client }: Conversation,
  visits: ReadonlyArray<Visit>
): Visit | undefined => {
  const reset = visits.filter(({ hasReset }) => hasReset)
  const got = client.received?.bytes ?? new Uint8Array(0)
  return reset.find(({ sent }) => sent.length === got.length && startsWith(sent, got)) ?? reset[0]
}

const checkRequest = (plan: ClientPlan, { header, stream }: VisitBytes): ReadonlyArray<string> => {
  if (!startsWith(plan.bytes, stream)) return ["has not sent what its backend got"]
  return header.length === 0 || isOf(header, plan) ? [] : ["is not whom the PROXY header names"]
}

const checkResponse = ({ client }: Conversation, visits: ReadonlyArray<{ readonly sent: Uint8Array }>) => {
  const bytes = client.received?.bytes ?? new Uint8Array(0)
  if (bytes.length === 0 || visits.some(({ sent }) => startsWith(sent, bytes))) return []
  return ["got what no backend of its has sent"]
}

const checkWhole = (
  { client, entry }: Conversation,
  visit: (VisitBytes & { readonly sent: Uint8Array; readonly hasReset: boolean }) | undefined
): ReadonlyArray<string> => {
  if (entry?.outcome !== "done") return []
  const { plan, received } = client
  if (visit === undefined) return ["is done and has reached no backend"]
  const problems: Array<string> = []
  // A backend that resets when both ways have been ended for the proxy loses what is on its way to it.
  if (visit.stream.length !== plan.bytes.length && !visit.hasReset)
    problems.push("is done and its backend misses bytes")
  if (entry.fromClient !== plan.bytes.length) problems.push("is done and the access log counts other bytes")
  // It may have been reset from outside when everything was on its way.
  if (received === undefined || received.end === "reset") return problems
  if (received.bytes.length !== visit.sent.length) problems.push("is done and misses bytes")
  if (received.end !== "FIN") problems.push("is done and was reset")
  return problems
}

/** Whether a v2 header has the client's address and port; an IPv4 one may be IPv4-mapped (RFC 4291 2.5.5.2). */
export const isOf = (header: Uint8Array, { source: { ip, port } }: ClientPlan): boolean => {
  const view = new DataView(header.buffer, header.byteOffset, header.length)
  const inet6 = header[FAMILY_AT]! >> 4 === 2
  const words = ip.family === 6 ? [ip.w0, ip.w1, ip.w2, ip.w3] : inet6 ? [0, 0, 0xffff, ip.w0] : [ip.w0]
  const addressBytes = inet6 ? 16 : 4
  const same = words.every((word, i) => view.getInt32(ADDRESS_AT + 4 * i) === (word | 0))
  return same && view.getUint16(ADDRESS_AT + 2 * addressBytes) === port
}

const FAMILY_AT = 13
const ADDRESS_AT = 16
