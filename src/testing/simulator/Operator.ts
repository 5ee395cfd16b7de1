/** Plays the callers of the admin API, some of whom leave before they are answered. */
import { Cause, Deferred, Effect, Exit, Fiber } from "effect"
import type { AdminError } from "../../admin/AdminError.ts"
import type { AdminAction, AdminPlan } from "./AdminPlan.ts"
import { checkState } from "./checks/State.ts"
import type { Answer } from "./Journal.ts"
import { LEFT } from "./Summary.ts"
import { ADDED, PAIRED_RULES } from "./Site.ts"
import type { Life, World } from "./World.ts"

export const runOperator = Effect.fnUntraced(function* (world: World, plan: AdminPlan) {
  yield* Effect.sleep(plan.atMs)
  const { life } = world
  if (life === undefined) return
  const { action, cancelledAfterMs, number } = plan
  world.journal.note({ _tag: "Asked", number, action })
  world.mutating++
  const asking = yield* Effect.forkChild(act(world, life, action))
  if (cancelledAfterMs !== undefined) {
    yield* Effect.sleep(cancelledAfterMs)
    yield* Fiber.interrupt(asking)
  }
  const lost = Effect.as(Deferred.await(life.lost), Exit.interrupt())
  const exit = yield* Effect.raceFirst(Fiber.await(asking), lost)
  world.mutating--
  const answer = answerOf(exit)
  world.journal.note({ _tag: "Answered", number, answer, said: saidBy(exit) })
  if (answer === "unknown") world.uncertain = true
  else if (answer === "done" && changesState(action)) world.uncertain = false
  if (world.life === life) checkState(world, life)
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
      return admin.addRoute({ listenerAddr: action.listener, route: { ...ROUTE, ...action } })
    case "remove_route":
      return admin.removeRoute({ listenerAddr: action.listener, hostname: action.hostname })
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

/** What an L4 route leaves out. */
const ROUTE = {
  mode: "l4",
  tlsCert: "",
  tlsKey: "",
  backendTls: false,
  sendProxyProtocol: false,
  l7Policies: [],
  backendProtocol: "h2",
  backendCa: "",
  backendServerName: ""
} as const

const closeOldest = Effect.fnUntraced(function* (world: World, admin: Life["proxy"]["admin"]) {
  const { connections } = yield* admin.listConnections({ listenerAddr: "", hostname: "", clientIp: "", limit: 0 })
  const oldest = connections.at(-1)
  if (oldest === undefined) return
  world.journal.note({ _tag: "CloseAsked", id: oldest.id })
  yield* admin.closeConnection({ id: oldest.id })
})

const answerOf = (exit: Exit.Exit<unknown, AdminError>): Answer => {
  if (Exit.isSuccess(exit)) return "done"
  const failed = Cause.findErrorOption(exit.cause)
  return failed._tag === "Some" && !failed.value.message.includes("is not known") ? "refused" : "unknown"
}

const saidBy = (exit: Exit.Exit<unknown, AdminError>): string => {
  if (Exit.isSuccess(exit)) return ""
  const failed = Cause.findErrorOption(exit.cause)
  return failed._tag === "Some" ? failed.value.message : Cause.hasDies(exit.cause) ? Cause.pretty(exit.cause) : LEFT
}
