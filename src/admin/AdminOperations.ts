/** The handlers of every operation of the admin API, over the control plane and the data plane that follows it. */
import { Effect, type FileSystem, type Layer, type Path } from "effect"
import type { Rpc, RpcGroup } from "effect/rpc"
import type { ControlPlane } from "../control/ControlPlane.ts"
import type { Drain } from "../control/Drain.ts"
import type { Follower } from "../control/Follower.ts"
import { AdminRpcs } from "./AdminRpcs.ts"
import type { AdminSettings } from "./AdminSettings.ts"
import { connectionOperations } from "./ConnectionOperations.ts"
import { listenerOperations } from "./ListenerOperations.ts"
import { policyOperations } from "./PolicyOperations.ts"
import { proxyOperations } from "./ProxyOperations.ts"
import { routeOperations } from "./RouteOperations.ts"
import { ruleOperations } from "./RuleOperations.ts"

export type AdminHandlers = Rpc.ToHandler<RpcGroup.Rpcs<typeof AdminRpcs>>

/** Each by its name. */
export const adminOperations = Effect.gen(function* () {
  return {
    ...(yield* routeOperations),
    ...(yield* ruleOperations),
    ...(yield* policyOperations),
    ...(yield* listenerOperations),
    ...(yield* connectionOperations),
    ...(yield* proxyOperations)
  }
})

export const layer: Layer.Layer<
  AdminHandlers,
  never,
  AdminSettings | ControlPlane | Drain | FileSystem.FileSystem | Follower | Path.Path
> = AdminRpcs.toLayer(adminOperations)
