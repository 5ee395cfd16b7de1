/** `mcproxyctl firewall`: list, add, remove, import, export. */
import { Data, Effect, Result, Stdio, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import { readBoundedFile } from "../config/BoundedFile.ts"
import { formatProblems } from "../config/ConfigError.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import { answer } from "./Output.ts"
import { writePrivateCopy } from "./PrivateCopy.ts"
import { formatRules, parseRules } from "./RulesFile.ts"
import { type Column, table } from "./Table.ts"

const list = Command.make("list", {}, () =>
  Effect.gen(function* () {
    const listed = yield* (yield* AdminClient).getFirewallRules({})
    yield* answer("getFirewallRules", listed, (width) => table(COLUMNS, listed.rules, width))
  })
).pipe(Command.withDescription("List the rules"))

const COLUMNS: ReadonlyArray<Column<FirewallRule>> = [
  { title: "TYPE", cell: ({ type }) => type },
  { title: "VALUE", cell: ({ value }) => value }
]

const rule = {
  type: Argument.Literals("TYPE", ["ip", "cidr", "country"]).pipe(Argument.withDescription("ip, cidr or country")),
  value: Argument.String("VALUE").pipe(
    Argument.withDescription("An address, a network such as 192.0.2.0/24, or two upper-case letters (ISO 3166-1)")
  )
}

const add = Command.make("add", rule, (rule) =>
  Effect.gen(function* () {
    const added = yield* (yield* AdminClient).addFirewallRule({ rule })
    yield* answer("addFirewallRule", added, () => [`added ${rule.type} ${rule.value}`])
  })
).pipe(Command.withDescription("Block an address, a network or a country, from the next connection on"))

const remove = Command.make("remove", rule, (rule) =>
  Effect.gen(function* () {
    const removed = yield* (yield* AdminClient).removeFirewallRule({ rule })
    yield* answer("removeFirewallRule", removed, () => [`removed ${rule.type} ${rule.value}`])
  })
).pipe(Command.withDescription("Remove a rule"))

const file = Argument.String("FILE").pipe(
  Argument.withDescription("One `type value` a line, with # comments; -: stdin or stdout")
)

const importCommand = Command.make("import", { file }, ({ file }) =>
  Effect.gen(function* () {
    const rules = parseRules(yield* readRules(file))
    if (Result.isFailure(rules)) return yield* BadRules.of(formatProblems(nameOf(file), rules.failure))
    const applied = yield* (yield* AdminClient).applyFirewallRules({ add: rules.success })
    yield* answer("applyFirewallRules", applied, () => [`added: ${applied.added}, unchanged: ${applied.unchanged}`])
  })
).pipe(Command.withDescription("Add a file's rules, all of them or none; rules that are not in it stay"))

const exportCommand = Command.make(
  "export",
  {
    file,
    overwrite: Flag.Boolean("overwrite").pipe(
      Flag.withDescription("Take the place of a file that is there"),
      Flag.withDefault(false)
    )
  },
  ({ file, overwrite }) =>
    Effect.gen(function* () {
      const exported = yield* (yield* AdminClient).getFirewallRules({})
      const text = formatRules(exported.rules)
      if (file !== "-") yield* writePrivateCopy(file, text, overwrite)
      const lines = file === "-" ? text.split("\n").slice(0, -1) : [`${file}: ${exported.rules.length} rules`]
      yield* answer("getFirewallRules", exported, () => lines)
    })
).pipe(Command.withDescription("Write the rules into a file that import reads; it is for its owner alone"))

export const firewallCommand = Command.make("firewall").pipe(
  Command.withDescription("List, add, remove, import and export firewall rules"),
  Command.withSubcommands([list, add, remove, importCommand, exportCommand])
)

const readRules = Effect.fnUntraced(function* (file: string) {
  if (file === "-") return yield* readStdin
  const bytes = yield* Effect.mapError(readBoundedFile(file, RULES_BYTES_MAX), (problem) =>
    BadRules.of(`${file}: ${problem}`)
  )
  return new TextDecoder().decode(bytes)
})

const readStdin = Effect.gen(function* () {
  const chunks: Array<Uint8Array> = []
  let length = 0
  const { stdin } = yield* Stdio.Stdio
  yield* Stream.runForEach(stdin, (chunk) => {
    chunks.push(chunk)
    length += chunk.length
    return length > RULES_BYTES_MAX ? Effect.fail(BadRules.of(`stdin: has over ${RULES_BYTES_MAX} bytes`)) : Effect.void
  }).pipe(Effect.catchTag("PlatformError", ({ message }) => Effect.fail(BadRules.of(`stdin: ${message}`))))
  return Buffer.concat(chunks).toString("utf8")
})

const nameOf = (file: string): string => (file === "-" ? "stdin" : file)

/** 800,000 networks; the admin socket takes about as much in one call. */
const RULES_BYTES_MAX = 16 * 1024 * 1024

/** `message` says where they are from, and what is wrong with which. */
class BadRules extends Data.TaggedError("BadRules")<{ readonly message: string }> {
  static of(message: string): BadRules {
    return new BadRules({ message })
  }
}
