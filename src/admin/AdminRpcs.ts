/**
 * The operations of the admin API, once: served as Effect RPC as they are, and as gRPC, gRPC-Web and Connect through
 * `proto/mc_proxy/v1/admin.proto`, whose methods have the same names. The proto file says what each one does.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { AdminError } from "./AdminError.ts"
import {
  Connection,
  ConnectionEvent,
  Explanation,
  FirewallRule,
  flag,
  L7Policy,
  list,
  Listener,
  ListenerConfig,
  ListenerRoutes,
  ReloadFailure,
  Route,
  Status,
  text,
  uint32,
  uint64
} from "./AdminSchema.ts"

const operation = <const Tag extends string, Payload extends Schema.Struct.Fields, Success extends Schema.Top>(
  tag: Tag,
  payload: Payload,
  success: Success
) => Rpc.make(tag, { payload: Schema.Struct(payload), success, error: AdminError })

const Nothing = Schema.Struct({})

export class AdminRpcs extends RpcGroup.make(
  operation("listRoutes", { listenerAddr: text }, Schema.Struct({ listeners: list(ListenerRoutes) })),
  operation(
    "addRoute",
    { listenerAddr: text, route: Route },
    Schema.Struct({ replaced: flag, warnings: list(Schema.String) })
  ),
  operation("removeRoute", { listenerAddr: text, hostname: text }, Nothing),

  operation("getFirewallRules", {}, Schema.Struct({ rules: list(FirewallRule) })),
  operation("addFirewallRule", { rule: FirewallRule }, Nothing),
  operation("removeFirewallRule", { rule: FirewallRule }, Nothing),
  operation(
    "applyFirewallRules",
    { add: list(FirewallRule), remove: list(FirewallRule) },
    Schema.Struct({ added: uint32, removed: uint32, unchanged: uint32 })
  ),
  operation(
    "importState",
    { listeners: list(ListenerConfig), firewallRules: list(FirewallRule), dryRun: flag },
    Schema.Struct({ differences: list(Schema.String) })
  ),

  operation("listL7Policies", { listenerAddr: text, hostname: text }, Schema.Struct({ policies: list(L7Policy) })),
  operation("addL7Policy", { listenerAddr: text, hostname: text, policy: L7Policy }, Nothing),
  operation("removeL7Policy", { listenerAddr: text, hostname: text, policy: L7Policy }, Nothing),

  operation("listListeners", {}, Schema.Struct({ listeners: list(Listener) })),
  operation("addListener", { listener: Listener }, Nothing),
  operation("updateListener", { listener: Listener }, Nothing),
  operation("removeListener", { addr: text }, Nothing),
  operation("setListenerMaxConnections", { listenerAddr: text, maxConnections: uint32 }, Nothing),
  operation("getStatus", {}, Status),

  operation(
    "listConnections",
    { listenerAddr: text, hostname: text, clientIp: text, limit: uint32 },
    Schema.Struct({ connections: list(Connection) })
  ),
  Rpc.make("watchConnections", { payload: Nothing, success: ConnectionEvent, error: AdminError, stream: true }),
  operation("closeConnection", { id: text }, Nothing),

  operation("explainConnection", { listenerAddr: text, clientIp: text, hostname: text }, Explanation),

  operation("reload", {}, Schema.Struct({ reloaded: list(Schema.String), failed: list(ReloadFailure) })),
  operation("snapshot", { path: text }, Schema.Struct({ bytes: uint64 }))
) {}

type Rpcs = RpcGroup.Rpcs<typeof AdminRpcs>

/** What the operation `Tag` takes. */
export type Request<Tag extends Rpcs["_tag"]> = Rpc.Payload<Rpc.ExtractTag<Rpcs, Tag>>
