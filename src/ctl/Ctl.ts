/**
 * The `mcproxyctl` command: what all of its subcommands have in common.
 *
 * Each subcommand asks `AdminClient`, and prints through `Output`; a file has the commands of one noun.
 */
import { Effect, Layer } from "effect"
import { Command, Flag } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import { connectionsCommand } from "./Connections.ts"
import { explainCommand } from "./Explain.ts"
import { firewallCommand } from "./Firewall.ts"
import { healthCommand } from "./Health.ts"
import { listenersCommand } from "./Listeners.ts"
import { Output } from "./Output.ts"
import { policiesCommand } from "./Policies.ts"
import { reloadCommand } from "./Reload.ts"
import { routesCommand } from "./Routes.ts"
import { snapshotCommand } from "./Snapshot.ts"
import { statusCommand } from "./Status.ts"

export const PROGRAM = "mcproxyctl"

/** Where a proxy has its admin socket unless its config says otherwise. */
const DEFAULT_SOCKET = "/srv/mc-proxy/mc-proxy.sock"

const shared = {
  socket: Flag.String("socket").pipe(
    Flag.withMetavar("PATH"),
    Flag.withDescription(
      `The admin socket; left out: $MCPROXY_GRPC_ADDR (which, for mc-proxy server, is grpc.addr), else ${DEFAULT_SOCKET}`
    ),
    // Node would take an empty one for localhost's port 80.
    Flag.filter(
      (path) => path !== "",
      () => "the path of a socket"
    ),
    Flag.withDefault(Effect.sync(() => process.env["MCPROXY_GRPC_ADDR"] || DEFAULT_SOCKET))
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print one JSON document; watch: one object a line"),
    Flag.withDefault(false)
  )
}

const ctlCommand = Command.make(PROGRAM).pipe(
  Command.withSharedFlags(shared),
  Command.withDescription("Manages a running mc-proxy through its admin socket"),
  Command.withSubcommands([
    statusCommand,
    healthCommand,
    listenersCommand,
    routesCommand,
    firewallCommand,
    policiesCommand,
    connectionsCommand,
    explainCommand,
    reloadCommand,
    snapshotCommand
  ]),
  Command.provide(({ json, socket }) => Layer.merge(AdminClient.layer({ socket }), Output.layer(json)))
)

/** Runs a command line. */
export const ctl = (
  args: ReadonlyArray<string>,
  version: string
): Effect.Effect<void, { readonly message: string }, Command.Environment> =>
  Command.runWith(ctlCommand, { version })(args)
