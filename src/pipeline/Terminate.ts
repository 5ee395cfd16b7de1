/** The last stage on L7. Certificates are not loaded yet, so that no route has one to terminate TLS with. */
import type { Effect } from "effect"
import { refuse, type Refusal } from "./Refusal.ts"

export type TerminateRefusal = Refusal<"certificate_unavailable">

export const terminate: Effect.Effect<never, TerminateRefusal> = refuse("certificate_unavailable")
