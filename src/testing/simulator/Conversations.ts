/** What the journal has of each client at the edge: when it was accepted, how it ended, and what met it. */
import type { ConnectionEntry } from "../../observe/AccessLog.ts"
import { concat } from "../Bytes.ts"
import { RANDOM_AT } from "../Hello.ts"
import { numberOf } from "./ClientPlan.ts"
import type { SimRun } from "./SimRun.ts"
import type { BackendVisit, ClientRecord } from "./World.ts"

export interface Conversation {
  readonly client: ClientRecord
  /** Of the network. */
  readonly connection: number
  /** The numbers of the events; `endedAt` is `Infinity` where it has not ended, for its process was lost. */
  readonly acceptedAt: number
  readonly endedAt: number
  readonly entry: ConnectionEntry | undefined
  /** Of the second proxy. */
  readonly innerEntries: ReadonlyArray<ConnectionEntry>
}

/** Those that were accepted, and all entries of the edge that belong to none. */
export interface Conversations {
  readonly all: ReadonlyArray<Conversation>
  readonly strays: ReadonlyArray<ConnectionEntry>
}

export const conversationsOf = ({ clients, events }: SimRun): Conversations => {
  const byNumber = new Map(clients.map((client) => [client.plan.number, client]))
  const accepted = new Map<number, { readonly connection: number; readonly at: number }>()
  const ended = new Map<number, { readonly entry: ConnectionEntry; readonly at: number }>()
  const inner = new Map<number, Array<ConnectionEntry>>()
  const strays: Array<ConnectionEntry> = []
  for (const [at, event] of events.entries()) {
    if (event._tag === "Network" && event.event.kind === "accept") {
      const number = numberOf(event.event.subject)
      if (byNumber.has(number)) accepted.set(number, { connection: event.event.connection, at })
    } else if (event._tag === "Concluded") {
      const { entry, proxy } = event
      const number = numberOf(proxy === "edge" ? entry.peer : entry.client)
      if (proxy === "inner") inner.set(number, [...(inner.get(number) ?? []), entry])
      else if (accepted.has(number) && !ended.has(number)) ended.set(number, { entry, at })
      else strays.push(entry)
    }
  }
  const all = [...accepted].map(([number, { at, connection }]): Conversation => ({
    client: byNumber.get(number)!,
    connection,
    acceptedAt: at,
    endedAt: ended.get(number)?.at ?? Infinity,
    entry: ended.get(number)?.entry,
    innerEntries: inner.get(number) ?? []
  }))
  return { all, strays }
}

/** What a backend got, the PROXY header apart. */
export interface VisitBytes {
  readonly header: Uint8Array
  readonly stream: Uint8Array
  /** Who came; `undefined` where that much has not come. */
  readonly number: number | undefined
}

export const visitBytes = ({ received }: BackendVisit): VisitBytes => {
  const bytes = concat(...received)
  const headerLength = bytes[0] === 13 && bytes.length >= 16 ? 16 + bytes[14]! * 256 + bytes[15]! : 0
  const stream = bytes[0] === 13 && headerLength === 0 ? new Uint8Array(0) : bytes.subarray(headerLength)
  const number = stream.length < RANDOM_AT + 2 ? undefined : stream[RANDOM_AT]! * 256 + stream[RANDOM_AT + 1]!
  return { header: bytes.subarray(0, headerLength), stream, number }
}
