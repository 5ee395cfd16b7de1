/** What the control thread asks of the main thread: the service Follower, and how the two start and stop together. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import type { Explanation } from "../pipeline/Explain.ts"
import { OUTCOMES } from "../pipeline/Outcome.ts"
import type { ConnectionEvent, ConnectionView } from "../server/ConnectionView.ts"
import { FirewallRuleSchema, HostnameSchema, L4RouteSchema, L7RouteSchema } from "../store/StateSchema.ts"
import { BindFailed } from "./Follower.ts"

const View: Schema.Codec<ConnectionView> = Schema.Struct({
  id: Schema.String,
  listener: Schema.String,
  client: Schema.String,
  peer: Schema.String,
  country: Schema.String,
  hostname: Schema.String,
  backend: Schema.String,
  mode: Schema.Literals(["l4", "l7", ""]),
  openedAt: Schema.Number,
  bytesFromClient: Schema.Number,
  bytesFromBackend: Schema.Number
})

const Event: Schema.Codec<ConnectionEvent> = Schema.Union([
  Schema.TaggedStruct("Opened", { connection: View }),
  Schema.TaggedStruct("Closed", { connection: View, outcome: Schema.Literals(OUTCOMES) }),
  Schema.TaggedStruct("Dropped", { count: Schema.Number })
])

const ExplanationSchema: Schema.Codec<Explanation, unknown> = Schema.Struct({
  outcome: Schema.Literals([...OUTCOMES, "routed"]),
  country: Schema.String,
  rule: Schema.UndefinedOr(FirewallRuleSchema),
  route: Schema.UndefinedOr(Schema.Union([L4RouteSchema, L7RouteSchema])),
  stages: Schema.Array(
    Schema.Struct({
      stage: Schema.Literals(["identify", "admit", "peek", "route", "relay", "terminate"]),
      verdict: Schema.Literals(["pass", "refuse", "unknown"]),
      detail: Schema.String
    })
  )
})

/** Passes as it is. */
const Bytes = Schema.Uint8Array.annotate({ toCodecJson: () => undefined })

export class FollowerRpcs extends RpcGroup.make(
  Rpc.make("bind", { payload: { addrs: Schema.Array(Schema.String) }, error: BindFailed }),
  Rpc.make("unbind"),
  /**
   * More slices of the next change: a `Change` each, as JSON, written by the other thread of this program. As bytes, which
   * wait outside of the heap: as strings they were a quarter of what the collector had to copy during an import.
   */
  Rpc.make("stage", { payload: { slices: Schema.Array(Bytes) } }),
  /** What was staged is the change, with this as its last slice. */
  Rpc.make("publish", { payload: { revision: Schema.Number, slice: Schema.String } }),
  Rpc.make("status", {
    success: Schema.Struct({
      startedAt: Schema.Number,
      connectionsTotal: Schema.Number,
      connectionsActive: Schema.Number,
      activeByListener: Schema.Record(Schema.String, Schema.Number),
      draining: Schema.Boolean,
      certificateProblems: Schema.Array(
        Schema.Struct({
          tlsCert: Schema.String,
          tlsKey: Schema.String,
          problem: Schema.String,
          served: Schema.Boolean
        })
      )
    })
  }),
  /** In slices. */
  Rpc.make("connections", {
    payload: { listener: Schema.String, hostname: Schema.String, clientIp: Schema.String, limit: Schema.Number },
    success: Schema.Array(View),
    stream: true
  }),
  Rpc.make("events", { success: Event, stream: true }),
  Rpc.make("close", { payload: { id: Schema.String }, success: Schema.Boolean }),
  Rpc.make("explain", {
    payload: { listener: Schema.String, clientIp: Schema.String, hostname: HostnameSchema },
    success: Schema.UndefinedOr(ExplanationSchema)
  }),
  Rpc.make("reload", {
    success: Schema.Struct({
      reloaded: Schema.Array(Schema.String),
      failed: Schema.Array(Schema.Struct({ path: Schema.String, reason: Schema.String }))
    })
  }),

  /** The control thread takes requests. */
  Rpc.make("started"),
  /** It cannot start; `message` is for the operator. */
  Rpc.make("failed", { payload: { message: Schema.String } }),
  /** Completes when the proxy drains. */
  Rpc.make("awaitDrain"),
  /** Completes when the control thread is to end. */
  Rpc.make("awaitStop")
) {}
