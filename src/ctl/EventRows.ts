/**
 * What `connections watch` shows on a terminal: a line an event, aligned, and colored by how the connection ended.
 *
 * Columns have their width from the start, since what comes later is not known; the hostname has what is left over.
 */
import { DateTime } from "effect"
import type { ConnectionEvent } from "../admin/AdminSchema.ts"
import type { Color, ColoredLine } from "./Output.ts"
import { formatAge, formatBytes } from "./Quantity.ts"
import { row, type Cell } from "./Table.ts"

export const eventHeader = (width: number): ColoredLine => ({
  color: "dim",
  text: row(cellsOf(HEADER, width), width)
})

/** `now` is in milliseconds since 1970. */
export const eventRow = ({ connection, dropped, event, outcome }: ConnectionEvent, now: number, width: number) => {
  if (connection === undefined) {
    return { color: "yellow", text: `${dropped} events lost: this watch was too slow for them` } satisfies ColoredLine
  }
  const { backend, bytesFromBackend, bytesFromClient, client, hostname, id, openedAt } = connection
  const closed = event === "closed"
  const texts: EventTexts = {
    outcome: closed ? outcome : "opened",
    client,
    hostname,
    backend,
    age: closed ? formatAge(now - DateTime.toEpochMillis(openedAt)) : "",
    fromClient: closed ? formatBytes(bytesFromClient) : "",
    fromBackend: closed ? formatBytes(bytesFromBackend) : "",
    id
  }
  return { color: closed ? colorOf(outcome) : "dim", text: row(cellsOf(texts, width), width) } satisfies ColoredLine
}

type EventTexts = Readonly<
  Record<"outcome" | "client" | "hostname" | "backend" | "age" | "fromClient" | "fromBackend" | "id", string>
>

const HEADER: EventTexts = {
  outcome: "OUTCOME",
  client: "CLIENT",
  hostname: "HOSTNAME",
  backend: "BACKEND",
  age: "AGE",
  fromClient: "CLIENT",
  fromBackend: "BACKEND",
  id: "ID"
}

/** On a narrow terminal without the two that say least. */
const cellsOf = (texts: EventTexts, width: number): ReadonlyArray<Cell> => {
  const isWide = width >= WIDE_MIN
  const others: ReadonlyArray<Cell> = [
    ...(isWide ? [{ text: texts.backend, width: 21 }] : []),
    { text: texts.age, width: 7, right: true },
    { text: texts.fromClient, width: 8, right: true },
    { text: texts.fromBackend, width: 8, right: true },
    ...(isWide ? [{ text: texts.id, width: 14 }] : [])
  ]
  const first: ReadonlyArray<Cell> = [
    { text: texts.outcome, width: 23 },
    { text: texts.client, width: 21 }
  ]
  const taken = [...first, ...others].reduce((sum, cell) => sum + cell.width + 2, 0)
  return [...first, { text: texts.hostname, width: Math.max(HOSTNAME_WIDTH_MIN, width - taken) }, ...others]
}

const WIDE_MIN = 130
const HOSTNAME_WIDTH_MIN = 12

/** Green: it went well. Yellow: the operator's own rules. Red: something that the operator may have to look after. */
const colorOf = (outcome: string): Color => {
  if (outcome === "done") return "green"
  if (outcome.startsWith("blocked_") || outcome === "rate_limited") return "yellow"
  return TROUBLE.has(outcome) ? "red" : "plain"
}

const TROUBLE: ReadonlySet<string> = new Set([
  "max_connections",
  "descriptors",
  "dial_failed",
  "dial_timeout",
  "certificate_unavailable",
  "internal"
])
