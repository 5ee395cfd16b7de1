/** `mcproxyctl status`, and the same lines for `mc-proxy status`. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import type { Status } from "../admin/AdminSchema.ts"
import { answer } from "./Output.ts"
import { formatAge } from "./Quantity.ts"

export const statusCommand = Command.make("status", {}, () =>
  Effect.gen(function* () {
    const status = yield* (yield* AdminClient).getStatus({})
    yield* answer("getStatus", status, () => statusLines(status))
  })
).pipe(Command.withDescription("Show the running proxy, and its listeners"))

/** Version, uptime, connections, whether it drains; then a line for each listener, with what is wrong there. */
export const statusLines = (status: typeof Status.Type): ReadonlyArray<string> => [
  `mc-proxy ${status.version}`,
  `uptime: ${formatAge(status.uptime)}`,
  `connections: ${status.activeConnections} active, ${status.totalConnections} since the start`,
  ...(status.draining ? ["draining: it takes no new connections, and ends with the last"] : []),
  ...status.listeners.map(
    ({ activeConnections, addr, maxConnections, problems, routeCount }) =>
      `${addr} routes: ${routeCount}, active: ${activeConnections}` +
      (maxConnections > 0 ? ` of ${maxConnections}` : "") +
      (problems.length > 0 ? `, problems: ${problems.join("; ")}` : "")
  )
]
