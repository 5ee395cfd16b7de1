/** Stage 0: whether there is room, on the listener and in the process. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { DescriptorBudget, type ClientPlace } from "../net/DescriptorBudget.ts"
import { acquireScoped } from "../net/Scoped.ts"
import { ConnectionQuota } from "./ConnectionQuota.ts"
import type { LiveConnection } from "./LiveConnection.ts"
import { refuse, type Refusal } from "./Refusal.ts"

export type AcceptRefusal = Refusal<"max_connections" | "descriptors">

/**
 * Takes a place that the scope gives back, after it has closed the client's socket. `connectionsMax` is the listener's;
 * 0: no limit.
 */
export const accept = Effect.fnUntraced(function* (
  live: LiveConnection,
  connectionsMax: number
): Effect.fn.Return<ClientPlace, AcceptRefusal, ConnectionQuota | DescriptorBudget | Scope.Scope> {
  const quota = yield* ConnectionQuota
  const budget = yield* DescriptorBudget
  const takePlace = Effect.suspend((): Effect.Effect<ClientPlace, AcceptRefusal> => {
    if (!quota.take(live.listener, connectionsMax)) return refuse("max_connections")
    const place = budget.take()
    if (place !== undefined) return Effect.succeed(place)
    quota.release(live.listener)
    return refuse("descriptors")
  })
  return yield* acquireScoped(takePlace, (place) => {
    live.socket.reset()
    place.release()
    quota.release(live.listener)
  })
})
