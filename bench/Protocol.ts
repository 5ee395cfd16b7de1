/** What the bench and the processes it forks say to each other. */
import { Schema } from "effect"

/** The backend's first message: its port for each hostname. */
export const Routes = Schema.Struct({ routes: Schema.Record(Schema.String, Schema.Int) })

/** The bare relay's first message. */
export const Listening = Schema.Struct({ port: Schema.Int })

/** What the client is asked for: one round of a workload, against the subject at a port of 127.0.0.1. */
export const Request = Schema.Struct({ workload: Schema.String, operations: Schema.Int, port: Schema.Int })
export type Request = typeof Request.Type

/** The client's answer: from the first connection to the end of the last, and the durations of single operations. */
export const Answer = Schema.Struct({ wallMs: Schema.Finite, p50Ms: Schema.Finite, p99Ms: Schema.Finite })
export type Answer = typeof Answer.Type
