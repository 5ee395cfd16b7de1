/** `mcproxyctl connections`: list, watch, close. */
import { Clock, DateTime, Effect, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import { type Connection, ConnectionEvent } from "../admin/AdminSchema.ts"
import { countFlag } from "./Arguments.ts"
import { eventHeader, eventRow } from "./EventRows.ts"
import { answer, Output } from "./Output.ts"
import { formatAge, formatBytes } from "./Quantity.ts"
import { type Column, table } from "./Table.ts"

const filter = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.withDefault(""))

const list = Command.make(
  "list",
  {
    listenerAddr: filter("listener", "ADDR", "Only those of this listener"),
    hostname: filter("hostname", "NAME", "Only those for this name"),
    clientIp: filter("client", "IP", "Only those from this address"),
    limit: countFlag("limit").pipe(
      Flag.withDescription("At most so many, the newest; default 1000"),
      Flag.withDefault(0)
    )
  },
  (given) =>
    Effect.gen(function* () {
      const listed = yield* (yield* AdminClient).listConnections(given)
      const now = yield* Clock.currentTimeMillis
      yield* answer("listConnections", listed, (width) => table(columnsAt(now), listed.connections, width))
    })
).pipe(Command.withDescription("List live connections, the newest first; --json has every field"))

const columnsAt = (now: number): ReadonlyArray<Column<Connection>> => [
  { title: "ID", cell: ({ id }) => id },
  { title: "LISTENER", cell: ({ listenerAddr }) => listenerAddr, expendable: 4 },
  { title: "CLIENT", cell: ({ client }) => client, expendable: 1 },
  { title: "COUNTRY", cell: ({ country }) => country, expendable: 6 },
  { title: "HOSTNAME", cell: ({ hostname }) => hostname, expendable: 2 },
  { title: "BACKEND", cell: ({ backend }) => backend, expendable: 3 },
  { title: "MODE", cell: ({ mode }) => mode },
  { title: "AGE", cell: ({ openedAt }) => formatAge(now - DateTime.toEpochMillis(openedAt)), right: true },
  { title: "FROM CLIENT", cell: ({ bytesFromClient }) => formatBytes(bytesFromClient), right: true, expendable: 5 },
  { title: "FROM BACKEND", cell: ({ bytesFromBackend }) => formatBytes(bytesFromBackend), right: true, expendable: 5 }
]

const watch = Command.make("watch", {}, () =>
  Effect.gen(function* () {
    const output = yield* Output
    const { json, width } = output
    const encode = Schema.encodeSync(ConnectionEvent)
    const events = (yield* AdminClient).watchConnections({})
    const clock = yield* Clock.Clock
    const lines =
      json || width === undefined
        ? Stream.map(events, (event) => (json ? JSON.stringify(encode(event)) : eventLine(event)))
        : Stream.concat(
            Stream.succeed(eventHeader(width)),
            Stream.map(events, (event) => eventRow(event, clock.currentTimeMillisUnsafe(), width))
          )
    yield* output.print(lines).pipe(Effect.raceFirst(interrupted))
  })
).pipe(Command.withDescription("Print a line as each connection opens and closes, until Ctrl+C"))

/** Whoever presses Ctrl+C has seen enough. */
const interrupted = Effect.callback<void>((resume) => {
  const onSignal = () => resume(Effect.void)
  process.once("SIGINT", onSignal)
  return Effect.sync(() => process.off("SIGINT", onSignal))
})

/** As the access log has it: words, then keys with their values where there is one. */
const eventLine = ({ connection, dropped, event, outcome }: ConnectionEvent): string => {
  if (connection === undefined) return `${dropped} events lost: this watch was too slow for them`
  const { backend, bytesFromBackend, bytesFromClient, client, country, hostname, id, listenerAddr, mode } = connection
  const opened = { id, listener: listenerAddr, client, country, hostname, backend, mode }
  const values =
    event === "opened" ? opened : { ...opened, outcome, from_client: bytesFromClient, from_backend: bytesFromBackend }
  const fields = Object.entries(values).flatMap(([key, value]) => (value === "" ? [] : `${key}=${value}`))
  return [event, ...fields].join(" ")
}

const close = Command.make(
  "close",
  { id: Argument.String("ID").pipe(Argument.withDescription("As connections list shows it")) },
  ({ id }) =>
    Effect.gen(function* () {
      const closed = yield* (yield* AdminClient).closeConnection({ id })
      yield* answer("closeConnection", closed, () => [`closed ${id}`])
    })
).pipe(Command.withDescription("Reset both sides of a connection"))

export const connectionsCommand = Command.make("connections").pipe(
  Command.withDescription("List, watch and close connections"),
  Command.withSubcommands([list, watch, close])
)
