/**
 * The callers' process: gRPC clients, each with a connection of its own, that ask the admin API.
 *
 * Arguments: the admin socket, and how many callers. A call that is refused ends the process, and the bench with it.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Queue, Schema } from "effect"
import { giveWay } from "../src/control/ThreadPriority.ts"
import type { State } from "../src/snapshot/Change.ts"
import type { FirewallRule } from "../src/snapshot/FirewallRule.ts"
import { adminMethod, type Fields } from "../test/admin/grpc/StockClient.ts"
import { AdminTask, RunTask, TaskReady } from "./AdminProtocol.ts"
import { followParent, tellParent } from "./Forked.ts"
import { frame, GrpcCaller } from "./GrpcCaller.ts"
import { manyRules, rules, RULES } from "./ManyRules.ts"

/** One call: its method, and its request. */
type Call = readonly [method: string, request: Fields]

const ruleFields = ({ type, value }: FirewallRule) => ({ type: `FIREWALL_RULE_TYPE_${type.toUpperCase()}`, value })

const routeFields = (hostname: string, backend: string) => ({ hostname, backend })

const addAndRemoveRules = (network: number, count: number): ReadonlyArray<Call> => {
  const requests = rules(network, count).map((rule) => ({ rule: ruleFields(rule) }))
  return [
    ...requests.map((request): Call => ["AddFirewallRule", request]),
    ...requests.map((request): Call => ["RemoveFirewallRule", request])
  ]
}

const addAndRemoveRoutes = (listener: string, count: number): ReadonlyArray<Call> => {
  const hostnames = Array.from({ length: count }, (_, i) => `added-${i}.example.test`)
  return [
    ...hostnames.map((hostname): Call => [
      "AddRoute",
      { listener_addr: listener, route: routeFields(hostname, "127.0.0.1:1") }
    ]),
    ...hostnames.map((hostname): Call => ["RemoveRoute", { listener_addr: listener, hostname }])
  ]
}

const importOf = ({ firewallRules, listeners }: State): Call => [
  "ImportState",
  {
    listeners: listeners.map(({ addr, routes }) => ({
      listener: { addr },
      routes: routes.map(({ backend, hostname }) => routeFields(hostname, backend))
    })),
    firewall_rules: firewallRules.map(ruleFields)
  }
]

/** What each caller asks, one call after the other. */
const callsOf = (task: AdminTask, callers: number): ReadonlyArray<ReadonlyArray<Call>> => {
  const share = (calls: ReadonlyArray<Call>) =>
    Array.from({ length: callers }, (_, caller) => calls.filter((_, i) => i % callers === caller))
  switch (task._tag) {
    case "Rules":
      return share(addAndRemoveRules(task.network, task.count))
    case "Routes":
      return share(addAndRemoveRoutes(task.listener, task.count))
    case "AddRules":
      return [[["ApplyFirewallRules", { add: rules(task.network, RULES).map(ruleFields) }]]]
    case "RemoveRules":
      return [[["ApplyFirewallRules", { remove: rules(task.network, RULES).map(ruleFields) }]]]
    case "Import": {
      const state = manyRules(task.listener, task.backend)
      return [[importOf({ ...state, firewallRules: task.networks.flatMap((network) => rules(network, RULES)) })]]
    }
  }
}

const [socket = "", callers = ""] = process.argv.slice(2)

// What it writes and collects is nobody's affair whose connections wait.
giveWay()

const serve = Effect.gen(function* () {
  const clients = yield* Effect.all(Array.from({ length: Number(callers) }, () => GrpcCaller.connect(socket)))
  const tasks = yield* Queue.unbounded<unknown>()
  process.on("message", (message) => Queue.offerUnsafe(tasks, message))
  followParent()
  const next = <A>(schema: Schema.Decoder<A>) => Effect.flatMap(Queue.take(tasks), Schema.decodeUnknownEffect(schema))
  const serveOne = Effect.gen(function* () {
    const written = callsOf(yield* next(AdminTask), clients.length).map((calls) => calls.map(write))
    global.gc?.()
    tellParent(TaskReady.make({}))
    yield* next(RunTask)
    const startedAt = performance.now()
    yield* Effect.forEach(
      written,
      (calls, caller) =>
        Effect.forEach(calls, ([path, framed]) => clients[caller]!.call(path, framed), { discard: true }),
      { concurrency: "unbounded", discard: true }
    )
    tellParent({ wallMs: performance.now() - startedAt })
  })
  return yield* Effect.forever(serveOne)
})

const write = ([name, request]: Call) => {
  const method = adminMethod(name)
  return [method.path, frame(method.requestSerialize(request))] as const
}

NodeRuntime.runMain(Effect.scoped(serve))
