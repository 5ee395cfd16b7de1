/** Plays the callers of the admin API, some of whom leave before they are answered. */
import { Cause, Deferred, Effect, Exit, Fiber } from "effect"
import type { AdminError } from "../../admin/AdminError.ts"
import { toRoute } from "../../admin/Replies.ts"
import type { Route } from "../../snapshot/Snapshot.ts"
import type { AdminAction, AdminPlan } from "./AdminPlan.ts"
import type { Answer } from "./Journal.ts"
import { hostname } from "./Parsed.ts"
import { ADDED, PAIRED_RULES, routeTo } from "./Site.ts"
import { webRouteTo } from "./WebSite.ts"
import type { Life, World } from "./World.ts"

export const runOperator = Effect.fnUntraced(function* (world: World, plan: AdminPlan) {
  yield* Effect.sleep(plan.atMs)
  const { life, unknowns } = world
  if (life === undefined) return
  const { action, cancelledAfterMs, number } = plan
  world.journal.note({ _tag: "Asked", number, action })
  const asking = yield* Effect.forkChild(act(world, life, action))
  if (cancelledAfterMs !== undefined) {
    yield* Effect.sleep(cancelledAfterMs)
    yield* Fiber.interrupt(asking)
  }
  const lost = Effect.as(Deferred.await(life.lost), LOST)
  const { answer, said } = yield* Effect.raceFirst(Effect.map(Fiber.await(asking), toldBy), lost)
  world.journal.note({ _tag: "Answered", number, answer, said })
  if (answer === "died") world.journal.note({ _tag: "Violated", problem: `${action.op} has died: ${said}` })
  // What was asked for before may have been done before.
  if (answer === "done" && unknowns === world.unknowns) world.uncertain &&= !changesState(action)
})

/** After one of these is done, the state in memory is the database's. */
const changesState = ({ op }: AdminAction): boolean => op !== "close" && op !== "reload"

const act = (world: World, { proxy: { admin } }: Life, action: AdminAction): Effect.Effect<unknown, AdminError> => {
  switch (action.op) {
    case "add_rule":
      return admin.addFirewallRule({ rule: action.rule })
    case "remove_rule":
      return admin.removeFirewallRule({ rule: action.rule })
    case "add_pair":
      return admin.applyFirewallRules({ add: PAIRED_RULES, remove: [] })
    case "remove_pair":
      return admin.applyFirewallRules({ add: [], remove: PAIRED_RULES })
    case "add_route":
      return admin.addRoute({ listenerAddr: action.listener, route: toRoute(routeOf(world, action)) })
    case "remove_route":
      return admin.removeRoute({ listenerAddr: action.listener, hostname: action.hostname })
    case "add_policy":
      return admin.addL7Policy({ ...action, listenerAddr: action.listener })
    case "remove_policy":
      return admin.removeL7Policy({ ...action, listenerAddr: action.listener })
    case "import":
      return admin.importState({
        listeners: action.state.listeners.map(({ routes, ...listener }) => ({ listener, routes: routes.map(toRoute) })),
        firewallRules: action.state.firewallRules,
        dryRun: false
      })
    case "limit":
      return admin.setListenerMaxConnections({ listenerAddr: action.listener, maxConnections: action.maxConnections })
    case "add_listener":
      return admin.addListener({
        listener: { addr: ADDED, proxyProtocol: false, trustedProxies: [], maxConnections: 0 }
      })
    case "remove_listener":
      return admin.removeListener({ addr: ADDED })
    case "close":
      return closeOldest(world, admin)
    case "reload":
      return admin.reload()
  }
}

const routeOf = (
  { plan: { site } }: World,
  { backend, hostname: name }: { readonly hostname: string; readonly backend: string }
): Route => {
  const web = site.webBackends.find((one) => one.name === backend)
  return web === undefined ? routeTo(name, backend, false) : webRouteTo(hostname(name), web, false, [])
}

const closeOldest = Effect.fnUntraced(function* (world: World, admin: Life["proxy"]["admin"]) {
  const { connections } = yield* admin.listConnections({ listenerAddr: "", hostname: "", clientIp: "", limit: 0 })
  const oldest = connections.at(-1)
  if (oldest === undefined) return
  world.journal.note({ _tag: "CloseAsked", id: oldest.id })
  yield* admin.closeConnection({ id: oldest.id })
})

interface Told {
  readonly answer: Answer
  readonly said: string
}
const LOST: Told = { answer: "lost", said: "" }

const toldBy = (exit: Exit.Exit<unknown, AdminError>): Told => {
  if (Exit.isSuccess(exit)) return { answer: "done", said: "" }
  const failed = Cause.findErrorOption(exit.cause)
  if (failed._tag === "Some") {
    const { message } = failed.value
    return { answer: message.includes("is not known") ? "unknown" : "refused", said: message }
  }
  return Cause.hasDies(exit.cause) ? { answer: "died", said: Cause.pretty(exit.cause) } : { answer: "left", said: "" }
}
