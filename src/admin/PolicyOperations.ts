/** `listL7Policies`, `addL7Policy`, `removeL7Policy`. */
import { Effect, Result } from "effect"
import { policyKey } from "../config/Listeners.ts"
import { showText } from "../config/Printable.ts"
import { ControlPlane } from "../control/ControlPlane.ts"
import type { StateIndex } from "../control/StateIndex.ts"
import type { Change } from "../snapshot/Change.ts"
import type { L7Policy, L7Route } from "../snapshot/Snapshot.ts"
import { AlreadyExists, InvalidArgument, NotFound } from "./AdminError.ts"
import type { Request } from "./AdminRpcs.ts"
import { noListener } from "./Replies.ts"
import { readAddr, readHostname, readPolicy } from "./Requests.ts"
import { noRoute } from "./RouteOperations.ts"

export const policyOperations = Effect.gen(function* () {
  const control = yield* ControlPlane

  return {
    listL7Policies: Effect.fnUntraced(function* (request: Request<"listL7Policies">) {
      const { addr, hostname } = yield* Effect.fromResult(readPlace(request))
      const route = yield* Effect.fromResult(findRoute(control.current.state, addr, hostname))
      return { policies: route.mode === "l7" ? route.l7Policies : [] }
    }),

    addL7Policy: Effect.fn("addL7Policy")(function* (request: Request<"addL7Policy">) {
      const { addr, hostname } = yield* Effect.fromResult(readPlace(request))
      const policy = yield* Effect.fromResult(readPolicy(request.policy))
      return yield* control.mutate((state) =>
        Result.flatMap(findL7Route(state, addr, hostname), (route) => {
          if (route.l7Policies.some(isThe(policy))) return Result.fail(isThere(policy, hostname))
          return Result.succeed({ change: putPolicies(addr, route, [...route.l7Policies, policy]), answer: {} })
        })
      )
    }),

    removeL7Policy: Effect.fn("removeL7Policy")(function* (request: Request<"removeL7Policy">) {
      const { addr, hostname } = yield* Effect.fromResult(readPlace(request))
      const policy = yield* Effect.fromResult(readPolicy(request.policy))
      return yield* control.mutate((state) =>
        Result.flatMap(findL7Route(state, addr, hostname), (route) => {
          const others = route.l7Policies.filter((other) => !isThe(policy)(other))
          if (others.length === route.l7Policies.length) return Result.fail(isMissing(policy, hostname))
          return Result.succeed({ change: putPolicies(addr, route, others), answer: {} })
        })
      )
    })
  }
})

const readPlace = ({ hostname, listenerAddr }: { readonly listenerAddr: string; readonly hostname: string }) =>
  Result.all({ addr: readAddr("listener_addr", listenerAddr), hostname: readHostname("hostname", hostname) })

const findRoute = (state: StateIndex, addr: string, hostname: string) => {
  if (state.listener(addr) === undefined) return Result.fail(noListener(addr))
  const route = state.route(addr, hostname)
  return route === undefined ? Result.fail(noRoute(addr, hostname)) : Result.succeed(route)
}

const findL7Route = (
  state: StateIndex,
  addr: string,
  hostname: string
): Result.Result<L7Route, NotFound | InvalidArgument> =>
  Result.flatMap(findRoute(state, addr, hostname), (route) =>
    route.mode === "l7"
      ? Result.succeed(route)
      : Result.fail(
          new InvalidArgument({ message: `policy: the route for ${hostname} on ${addr} is L4, and takes no policies` })
        )
  )

const isThe = (policy: L7Policy) => (other: L7Policy) => policyKey(other) === policyKey(policy)

const putPolicies = (listener: string, route: L7Route, l7Policies: ReadonlyArray<L7Policy>): Change => [
  { _tag: "PutRoute", listener, route: { ...route, l7Policies } }
]

const isThere = ({ type, value }: L7Policy, hostname: string): AlreadyExists =>
  new AlreadyExists({ message: `policy: the route for ${hostname} has ${type} ${showText(value)} already` })

const isMissing = ({ type, value }: L7Policy, hostname: string): NotFound =>
  new NotFound({ message: `policy: the route for ${hostname} has no ${type} ${showText(value)}` })
