/** `mcproxyctl routes`: list, add, remove. */
import { Effect, Option, Path } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import { AlreadyExists } from "../admin/AdminError.ts"
import type { Route } from "../admin/AdminSchema.ts"
import { hostname, listener } from "./Arguments.ts"
import { answer, warn } from "./Output.ts"
import { type Column, table } from "./Table.ts"

const list = Command.make("list", { listener: Argument.optional(listener) }, ({ listener }) =>
  Effect.gen(function* () {
    const listed = yield* (yield* AdminClient).listRoutes({ listenerAddr: Option.getOrElse(listener, () => "") })
    const rows = listed.listeners.flatMap(({ listenerAddr, routes }) =>
      routes.map((route) => ({ ...route, listenerAddr }))
    )
    yield* answer("listRoutes", listed, (width) => table(COLUMNS, rows, width))
  })
).pipe(Command.withDescription("List the routes of one listener, or of all"))

type Row = Route & { readonly listenerAddr: string }

const COLUMNS: ReadonlyArray<Column<Row>> = [
  { title: "LISTENER", cell: ({ listenerAddr }) => listenerAddr },
  { title: "HOSTNAME", cell: ({ hostname }) => hostname },
  { title: "BACKEND", cell: ({ backend }) => backend, expendable: 1 },
  { title: "MODE", cell: ({ mode }) => mode },
  { title: "OPTIONS", cell: (route) => optionsOf(route).join(", "), expendable: 2 }
]

/** What is not the default, by the names of the flags. */
const optionsOf = (route: Route): ReadonlyArray<string> => [
  ...(route.sendProxyProtocol ? ["send-proxy-protocol"] : []),
  ...(route.backendProtocol === "h2" ? [] : [route.backendProtocol]),
  ...(route.backendTls ? ["backend-tls"] : []),
  ...(route.backendServerName === "" ? [] : [`backend-server-name ${route.backendServerName}`]),
  ...(route.l7Policies.length === 0 ? [] : [`policies: ${route.l7Policies.length}`]),
  ...(route.tlsCert === "" ? [] : [`tls-cert ${route.tlsCert}`]),
  ...(route.backendCa === "" ? [] : [`backend-ca ${route.backendCa}`])
]

const pathFlag = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("PATH"),
    Flag.withDescription(`${description}, on the proxy's host; relative to the current folder`),
    Flag.mapEffect((file) => Effect.map(Path.Path, (path) => path.resolve(file))),
    Flag.withDefault("")
  )

const switchFlag = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

const options = {
  mode: Flag.Literals("mode", ["l4", "l7"]).pipe(
    Flag.withDescription("l4 passes TLS through, l7 terminates it; default l4"),
    Flag.withDefault("l4")
  ),
  tlsCert: pathFlag("tls-cert", "L7: the certificate (PEM)"),
  tlsKey: pathFlag("tls-key", "L7: its key (PEM)"),
  backendTls: switchFlag("backend-tls", "L7: TLS to the backend"),
  backendProtocol: Flag.Literals("backend-protocol", ["h2", "http/1.1"]).pipe(
    Flag.withDescription("L7: what the backend speaks; default h2"),
    Flag.withDefault("h2")
  ),
  backendCa: pathFlag("backend-ca", "L7, with --backend-tls: the backend's authority (PEM)"),
  backendServerName: Flag.String("backend-server-name").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("L7, with --backend-tls: the name in the backend's certificate"),
    Flag.withDefault("")
  ),
  sendProxyProtocol: switchFlag("send-proxy-protocol", "Begin backend connections with a PROXY protocol v2 header")
}

const add = Command.make(
  "add",
  {
    listener,
    hostname,
    backend: Argument.String("BACKEND").pipe(Argument.withDescription('"host:port", "ip:port" or "[ip6]:port"')),
    ...options,
    replace: switchFlag("replace", "Take the place of the hostname's route, and keep its policies")
  },
  ({ listener, replace, ...given }) =>
    Effect.gen(function* () {
      const client = yield* AdminClient
      // The API replaces, policies included, so that what is there is looked at first. A route that is added between the
      // two is told of afterwards; a policy that is added between them is lost.
      const { listeners } = yield* client.listRoutes({ listenerAddr: listener })
      const before = listeners.flatMap(({ routes }) => routes).find(({ hostname }) => hostname === given.hostname)
      if (before !== undefined && !replace) return yield* alreadyThere(listener, before)
      const route = { ...given, l7Policies: given.mode === "l7" ? (before?.l7Policies ?? []) : [] }
      const added = yield* client.addRoute({ listenerAddr: listener, route })
      if (added.replaced && before === undefined) yield* warn("another route was added meanwhile, and is replaced")
      const lost = (before?.l7Policies.length ?? 0) - route.l7Policies.length
      if (lost > 0) yield* warn(`an L4 route takes no policies: those of the route before are removed (${lost})`)
      for (const warning of added.warnings) yield* warn(warning)
      const done = added.replaced ? "replaced" : "added"
      yield* answer("addRoute", added, () => [`${done} route ${given.hostname} on ${listener}: ${given.backend}`])
    })
).pipe(Command.withDescription("Add a route, or with --replace put it in the place of another"))

const alreadyThere = (listener: string, { backend, hostname }: Route) =>
  new AlreadyExists({
    message: `${hostname} on ${listener} has a route already, to ${backend}; give --replace to put this one in its place`
  })

const remove = Command.make("remove", { listener, hostname }, ({ hostname, listener }) =>
  Effect.gen(function* () {
    const removed = yield* (yield* AdminClient).removeRoute({ listenerAddr: listener, hostname })
    yield* answer("removeRoute", removed, () => [`removed route ${hostname} on ${listener}`])
  })
).pipe(Command.withDescription("Remove a route with its policies; its L4 connections go on"))

export const routesCommand = Command.make("routes").pipe(
  Command.withDescription("List, add and remove routes"),
  Command.withSubcommands([list, add, remove])
)
