/** The `mc-proxy` command: flags → layers → run. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { check } from "./Check.ts"
import { DEFAULT_FOLDER } from "../devserver/ConfigFile.ts"
import { importFile } from "./Import.ts"
import { layerCli, runMain } from "./Main.ts"
import { server } from "./Server.ts"
import { snapshot } from "./Snapshot.ts"
import { status } from "./Status.ts"
import { version } from "./Version.ts"

const config = Flag.String("config").pipe(
  Flag.withAlias("c"),
  Flag.withMetavar("FILE"),
  Flag.withDescription("The configuration file (TOML)")
)

const serverCommand = Command.make("server", { config }, (flags) => server(flags.config)).pipe(
  Command.withDescription("Run the proxy in the foreground")
)

const checkCommand = Command.make("check", { config }, (flags) => check(flags.config)).pipe(
  Command.withDescription("Validate the configuration and every file that it names, without listening")
)

const importCommand = Command.make(
  "import",
  {
    config,
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Print the differences, and change nothing"),
      Flag.withDefault(false)
    )
  },
  (flags) => importFile(flags.config, flags.dryRun)
).pipe(Command.withDescription("Make the database's listeners, routes, policies and rules equal to the file's"))

const statusCommand = Command.make("status", { config }, (flags) => status(flags.config)).pipe(
  Command.withDescription("Ask the running proxy through its admin socket how it is")
)

const snapshotCommand = Command.make(
  "snapshot",
  {
    config,
    output: Flag.String("output").pipe(
      Flag.withAlias("o"),
      Flag.withMetavar("PATH"),
      Flag.withDescription("Where to; left out: backups/mc-proxy-<UTC time>.db beside the database"),
      Flag.optional
    )
  },
  (flags) => snapshot(flags.config, flags.output)
).pipe(Command.withDescription("Write a consistent copy of the database, while the proxy runs or not"))

const dir = Flag.String("dir").pipe(
  Flag.withMetavar("DIR"),
  Flag.withDescription("Where its files are, made on the first run"),
  Flag.withDefault(DEFAULT_FOLDER)
)

// Loaded when it is asked for: it brings a certificate authority, which no other command should wait for.
const devserverCommand = Command.make("devserver", { dir }, (flags) =>
  Effect.flatMap(
    Effect.promise(() => import("./Devserver.ts")),
    ({ devserver }) => devserver(flags.dir)
  )
).pipe(
  Command.withDescription("Run a proxy with throw-away certificates and two demo backends, and print how to try it")
)

const program = Command.make("mc-proxy").pipe(
  Command.withDescription("A TLS proxy and router"),
  Command.withSubcommands([
    serverCommand,
    checkCommand,
    importCommand,
    statusCommand,
    snapshotCommand,
    devserverCommand
  ]),
  Command.run({ version })
)

runMain("mc-proxy", program.pipe(Effect.provide([layerCli("mc-proxy"), NodeServices.layer])))
