/** `mcproxyctl listeners`: list, add, set, remove. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import { NotFound } from "../admin/AdminError.ts"
import type { Listener } from "../admin/AdminSchema.ts"
import { countFlag, listenAddress } from "./Arguments.ts"
import { answer, warn } from "./Output.ts"
import { type Column, table } from "./Table.ts"
import { wrongUsage } from "./Usage.ts"

const addr = listenAddress("ADDR")

const settings = {
  proxyProtocol: Flag.Boolean("proxy-protocol").pipe(
    Flag.withDescription("Refuse connections without a PROXY protocol header; --no-proxy-protocol: expect none"),
    Flag.optional
  ),
  trustedProxies: Flag.String("trusted-proxies").pipe(
    Flag.withMetavar("A,B"),
    Flag.withDescription("IPs and CIDRs that may send the header; empty: anyone"),
    Flag.map((text) => text.split(",").flatMap((one) => one.trim() || [])),
    Flag.optional
  ),
  maxConnections: countFlag("max-connections").pipe(
    Flag.withDescription("How many connections it takes at once; 0: no limit"),
    Flag.optional
  )
}

const list = Command.make("list", {}, () =>
  Effect.gen(function* () {
    const listed = yield* (yield* AdminClient).listListeners({})
    yield* answer("listListeners", listed, (width) => table(COLUMNS, listed.listeners, width))
  })
).pipe(Command.withDescription("List the listeners and their settings"))

const COLUMNS: ReadonlyArray<Column<Listener>> = [
  { title: "ADDR", cell: ({ addr }) => addr },
  { title: "MAX CONNECTIONS", cell: ({ maxConnections }) => (maxConnections === 0 ? "" : String(maxConnections)) },
  { title: "PROXY PROTOCOL", cell: ({ proxyProtocol }) => (proxyProtocol ? "yes" : "no") },
  { title: "TRUSTED PROXIES", cell: ({ trustedProxies }) => trustedProxies.join(","), expendable: 1 }
]

const add = Command.make("add", { addr, ...settings }, ({ addr, ...given }) =>
  Effect.gen(function* () {
    const settings = present(given)
    const added = yield* (yield* AdminClient).addListener({ listener: { addr, ...settings } })
    yield* warnOfAnyone(settings)
    yield* answer("addListener", added, () => [`added listener ${addr}`])
  })
).pipe(Command.withDescription("Add a listener, which accepts when this returns"))

const set = Command.make("set", { addr, ...settings }, ({ addr, ...given }) =>
  Effect.gen(function* () {
    const { maxConnections, ...others } = present(given)
    if (Object.keys(others).length > 0) return yield* update(addr, present(given))
    if (maxConnections === undefined) return yield* wrongUsage(["listeners", "set"], "Say what to set")
    const changed = yield* (yield* AdminClient).setListenerMaxConnections({ listenerAddr: addr, maxConnections })
    yield* answer("setListenerMaxConnections", changed, () => [`changed listener ${addr}`])
  })
).pipe(
  Command.withDescription(
    "Change a listener for the next connections. What is not given stays as it is; --no-proxy-protocol and " +
      '--trusted-proxies "" turn off'
  ),
  Command.withShortDescription("Change a listener for the next connections")
)

/** The API takes all of the settings at once, so that those which stay are read first. */
const update = Effect.fnUntraced(function* (addr: string, given: Partial<Listener>) {
  const client = yield* AdminClient
  const { listeners } = yield* client.listListeners({})
  const before = listeners.find((listener) => listener.addr === addr)
  if (before === undefined) return yield* new NotFound({ message: `there is no listener ${addr}` })
  const listener = { ...before, ...given }
  const changed = yield* client.updateListener({ listener })
  yield* warnOfAnyone(listener)
  yield* answer("updateListener", changed, () => [`changed listener ${addr}`])
})

const remove = Command.make("remove", { addr }, ({ addr }) =>
  Effect.gen(function* () {
    const removed = yield* (yield* AdminClient).removeListener({ addr })
    yield* answer("removeListener", removed, () => [`removed listener ${addr}; its connections go on`])
  })
).pipe(Command.withDescription("Stop accepting, and forget the listener with its routes; its connections go on"))

export const listenersCommand = Command.make("listeners").pipe(
  Command.withDescription("List, add, change and remove listeners"),
  Command.withSubcommands([list, add, set, remove])
)

/** As the config file is warned of it. */
const warnOfAnyone = ({ proxyProtocol, trustedProxies = [] }: Partial<Listener>) =>
  proxyProtocol === true && trustedProxies.length === 0
    ? warn("without trusted proxies anyone may send a PROXY header and claim any address; give --trusted-proxies")
    : Effect.void

/** The settings that were given. */
const present = (given: {
  readonly [Name in keyof Omit<Listener, "addr">]: Option.Option<Listener[Name]>
}): Partial<Omit<Listener, "addr">> => ({
  ...Option.match(given.proxyProtocol, { onNone: () => ({}), onSome: (proxyProtocol) => ({ proxyProtocol }) }),
  ...Option.match(given.trustedProxies, { onNone: () => ({}), onSome: (trustedProxies) => ({ trustedProxies }) }),
  ...Option.match(given.maxConnections, { onNone: () => ({}), onSome: (maxConnections) => ({ maxConnections }) })
})
