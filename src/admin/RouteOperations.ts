/**
 * `listRoutes`, `addRoute`, `removeRoute`.
 *
 * As a tool may change thousands one by one, a change has no span, and services are only provided to what uses them:
 * either copies a context, and together they were a fifth of what adding a route cost.
 */
import type { FileSystem } from "effect"
import { Effect, Result } from "effect"
import { checkRouteCertificate } from "../config/CertificateCheck.ts"
import { coalescingWarningsOf } from "../config/Coalescing.ts"
import { showText } from "../config/Printable.ts"
import { ControlPlane, type Decision } from "../control/ControlPlane.ts"
import type { StateIndex } from "../control/StateIndex.ts"
import type { L7Route, Route } from "../snapshot/Snapshot.ts"
import { InvalidArgument, NotFound } from "./AdminError.ts"
import type { Request } from "./AdminRpcs.ts"
import { noListener, toRoute } from "./Replies.ts"
import { readAddr, readHostname, readRouteRequest } from "./Requests.ts"

export const routeOperations = Effect.gen(function* () {
  const control = yield* ControlPlane
  const files = yield* Effect.context<FileSystem.FileSystem>()

  return {
    listRoutes: Effect.fnUntraced(function* ({ listenerAddr }: Request<"listRoutes">) {
      const { state } = control.current
      const addrs =
        listenerAddr === ""
          ? state.listeners.map(({ addr }) => addr)
          : [yield* Effect.fromResult(readAddr("listener_addr", listenerAddr))]
      for (const addr of addrs) if (state.listener(addr) === undefined) return yield* noListener(addr)
      return { listeners: addrs.map((addr) => ({ listenerAddr: addr, routes: state.routes(addr).map(toRoute) })) }
    }),

    addRoute: Effect.fnUntraced(function* (request: Request<"addRoute">) {
      const addr = yield* Effect.fromResult(readAddr("listener_addr", request.listenerAddr))
      const { value: route, warnings } = yield* Effect.fromResult(readRouteRequest(request.route))
      if (route.mode === "l7") yield* Effect.provideContext(checkCertificate(route), files)
      const replaced = yield* control.mutate((state) => putRoute(state, addr, route))
      const others = concerned(control.current.state, addr, route)
      if (others.length === 0) return { replaced, warnings }
      const more = yield* Effect.provideContext(coalescingWarningsOf(addr, route, others), files)
      return { replaced, warnings: [...warnings, ...more] }
    }),

    removeRoute: Effect.fnUntraced(function* (request: Request<"removeRoute">) {
      const addr = yield* Effect.fromResult(readAddr("listener_addr", request.listenerAddr))
      const hostname = yield* Effect.fromResult(readHostname("hostname", request.hostname))
      return yield* control.mutate((state) => {
        if (state.listener(addr) === undefined) return Result.fail(noListener(addr))
        if (state.route(addr, hostname) === undefined) return Result.fail(noRoute(addr, hostname))
        return Result.succeed({ change: [{ _tag: "RemoveRoute", listener: addr, hostname }], answer: {} })
      })
    })
  }
})

export const noRoute = (addr: string, hostname: string): NotFound =>
  new NotFound({ message: `hostname: listener ${addr} has no route for ${showText(hostname)}` })

/** Answers whether it takes the place of another. */
const putRoute = (state: StateIndex, addr: string, route: Route): Result.Result<Decision<boolean>, NotFound> =>
  state.listener(addr) === undefined
    ? Result.fail(noListener(addr))
    : Result.succeed({
        change: [{ _tag: "PutRoute", listener: addr, route }],
        answer: state.route(addr, route.hostname) !== undefined
      })

const checkCertificate = Effect.fnUntraced(function* (route: L7Route) {
  const problems = yield* checkRouteCertificate(route)
  if (problems.length === 0) return
  const message = problems.map(({ message, path }) => `route.${path}: ${message}`).join("\n")
  return yield* new InvalidArgument({ message })
})

/** The other routes whose connections browsers may use for this one, or the other way round. */
const concerned = (state: StateIndex, addr: string, route: Route): ReadonlyArray<Route> => {
  // Of a listener's thousands of routes, only those with a certificate concern one without.
  const routes = route.mode === "l4" ? state.l7Routes(addr) : state.routes(addr)
  return routes.filter(({ hostname }) => hostname !== route.hostname)
}
