/** Stage 4: the backend that serves the name on this listener. */
import { Effect, HashMap, Option } from "effect"
import type { CompiledRoute, RouteTable } from "../routing/RouteTable.ts"
import type { Named } from "./Peek.ts"
import { refuse, type Refusal } from "./Refusal.ts"

export interface Routed extends Named {
  readonly route: CompiledRoute
}

export type RouteRefusal = Refusal<"no_route">

export const route = (named: Named, routes: RouteTable): Effect.Effect<Routed, RouteRefusal> => {
  const found = HashMap.get(routes, named.hostname)
  return Option.isNone(found) ? refuse("no_route") : Effect.succeed({ ...named, route: found.value })
}
