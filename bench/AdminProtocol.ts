/** What the bench of the admin API and the processes it forks say to each other. */
import { Schema } from "effect"

/** What the callers are asked for. Networks are those of `ManyRules.rules`. */
export const AdminTask = Schema.Union([
  /** So many rules, or routes, are added one a call, shared among the callers, and then removed one a call. */
  Schema.TaggedStruct("Rules", { network: Schema.Int, count: Schema.Int }),
  Schema.TaggedStruct("Routes", { listener: Schema.String, count: Schema.Int }),
  /** All the rules of a network in one call. */
  Schema.TaggedStruct("AddRules", { network: Schema.Int }),
  Schema.TaggedStruct("RemoveRules", { network: Schema.Int }),
  /** The state that the proxy has started with, with the rules of these networks alone, in one call. */
  Schema.TaggedStruct("Import", { listener: Schema.String, backend: Schema.String, networks: Schema.Array(Schema.Int) })
])
export type AdminTask = typeof AdminTask.Type

/** The calls of a task are written, and wait for `RunTask`: what that costs a client is not to be seen in the proxy. */
export const TaskReady = Schema.TaggedStruct("Ready", {})

export const RunTask = Schema.TaggedStruct("Run", {})

/** From the first call to the last answer. */
export const TaskDone = Schema.Struct({ wallMs: Schema.Finite })

/** The probe's first message: where its backend is. */
export const ProbeReady = Schema.Struct({ backend: Schema.String })

/** The probe connects from `start` to `stop`, which it answers. */
export const ProbeRequest = Schema.Union([
  Schema.TaggedStruct("Start", { port: Schema.Int }),
  Schema.TaggedStruct("Stop", {})
])
export type ProbeRequest = typeof ProbeRequest.Type

export const ProbeAnswer = Schema.Struct({
  connections: Schema.Int,
  p50Ms: Schema.Finite,
  p99Ms: Schema.Finite,
  worstMs: Schema.Finite,
  /** Of the probe's own process: what it adds to the waits that it measures. */
  lateMs: Schema.Finite
})
export type ProbeAnswer = typeof ProbeAnswer.Type
