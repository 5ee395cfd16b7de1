/** `mcproxyctl explain`: what the proxy would do with a connection, stage by stage. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import type { Explanation, StageVerdict } from "../admin/AdminSchema.ts"
import { hostname, listener } from "./Arguments.ts"
import { answer } from "./Output.ts"
import { type Column, table } from "./Table.ts"

export const explainCommand = Command.make(
  "explain",
  {
    listenerAddr: listener,
    clientIp: Argument.String("IP").pipe(Argument.withDescription("The client's address")),
    hostname
  },
  (question) =>
    Effect.gen(function* () {
      const explained = yield* (yield* AdminClient).explainConnection(question)
      // Not cut to the terminal's width, because the details are what was asked for.
      yield* answer("explainConnection", explained, () => [
        ...summary(explained),
        ...table(COLUMNS, explained.stages, undefined)
      ])
    })
).pipe(Command.withDescription("Say what would be done with a connection, without one"))

const summary = ({ country, matchedRule, outcome, route }: typeof Explanation.Type): ReadonlyArray<string> => [
  `outcome: ${outcome}`,
  ...(country === "" ? [] : [`country: ${country}`]),
  ...(matchedRule === undefined ? [] : [`rule: ${matchedRule.type} ${matchedRule.value}`]),
  ...(route === undefined ? [] : [`route: ${route.hostname} to ${route.backend}, ${route.mode}`])
]

const COLUMNS: ReadonlyArray<Column<typeof StageVerdict.Type>> = [
  { title: "STAGE", cell: ({ stage }) => stage },
  { title: "VERDICT", cell: ({ verdict }) => verdict },
  { title: "DETAIL", cell: ({ detail }) => detail }
]
