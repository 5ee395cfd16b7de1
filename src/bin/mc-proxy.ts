/** The `mc-proxy` command: flags → layers → run. */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { check } from "./Check.ts"
import { layerCli, runMain } from "./Main.ts"
import { server } from "./Server.ts"
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

const program = Command.make("mc-proxy").pipe(
  Command.withDescription("A TLS proxy and router"),
  Command.withSubcommands([serverCommand, checkCommand]),
  Command.run({ version })
)

runMain(program.pipe(Effect.provide([layerCli, NodeServices.layer])))
