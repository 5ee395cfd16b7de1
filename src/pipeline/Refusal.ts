/** A stage refuses a connection. The tag is the connection's outcome; what the client sees follows from that alone. */
import { Effect } from "effect"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { Outcome } from "./Outcome.ts"

/** A value, not an `Error`: refusing a flood must not cost a stack trace each. */
export interface Refusal<Tag extends Outcome> {
  readonly _tag: Tag
  /** What blocked it, where a rule did. */
  readonly rule?: FirewallRule
  /** What was wrong, in the proxy's own words, where the outcome does not say it all. */
  readonly reason?: string
}

/** Fails with the refusal of that tag. */
export const refuse = <Tag extends Outcome>(tag: Tag): Effect.Effect<never, Refusal<Tag>> => Effect.fail({ _tag: tag })
