/** `mcproxyctl policies`: list, add, remove. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import type { L7Policy } from "../admin/AdminSchema.ts"
import { hostname, listener } from "./Arguments.ts"
import { answer } from "./Output.ts"
import { type Column, table } from "./Table.ts"

const list = Command.make("list", { listener, hostname }, ({ hostname, listener }) =>
  Effect.gen(function* () {
    const listed = yield* (yield* AdminClient).listL7Policies({ listenerAddr: listener, hostname })
    yield* answer("listL7Policies", listed, (width) => table(COLUMNS, listed.policies, width))
  })
).pipe(Command.withDescription("List the policies of a route, in their order"))

const COLUMNS: ReadonlyArray<Column<typeof L7Policy.Type>> = [
  { title: "TYPE", cell: ({ type }) => type },
  { title: "VALUE", cell: ({ value }) => value, expendable: 1 }
]

const policy = {
  listener,
  hostname,
  type: Argument.Literals("TYPE", ["block_user_agent", "require_header"]).pipe(
    Argument.withDescription("block_user_agent or require_header")
  ),
  value: Argument.String("VALUE").pipe(
    Argument.withDescription("A part of User-Agent, without regard to case; or the name of a header")
  )
}

const add = Command.make("add", policy, ({ hostname, listener, ...policy }) =>
  Effect.gen(function* () {
    const added = yield* (yield* AdminClient).addL7Policy({ listenerAddr: listener, hostname, policy })
    yield* answer("addL7Policy", added, () => [`added ${policy.type} to ${hostname} on ${listener}`])
  })
).pipe(Command.withDescription("Add a policy, after those that are there"))

const remove = Command.make("remove", policy, ({ hostname, listener, ...policy }) =>
  Effect.gen(function* () {
    const removed = yield* (yield* AdminClient).removeL7Policy({ listenerAddr: listener, hostname, policy })
    yield* answer("removeL7Policy", removed, () => [`removed ${policy.type} from ${hostname} on ${listener}`])
  })
).pipe(Command.withDescription("Remove a policy"))

export const policiesCommand = Command.make("policies").pipe(
  Command.withDescription("List, add and remove what an L7 route answers with 403"),
  Command.withSubcommands([list, add, remove])
)
