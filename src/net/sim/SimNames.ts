/** Looking up names on a simulated network: what each answers, and after what time. */
import { Effect } from "effect"
import type { Hostname } from "../../snapshot/Hostname.ts"
import type { IpAddress } from "../IpAddress.ts"
import { LookupError } from "../Network.ts"
import type { Fabric } from "./Fabric.ts"

/**
 * The answer of a name server. `Silence` is none, which is waited for as long as a resolver does; a name that nobody has
 * given an answer is `NotFound` at once.
 */
export type NameAnswer =
  | { readonly _tag: "Found"; readonly ips: ReadonlyArray<IpAddress>; readonly afterMs: number }
  | { readonly _tag: "NotFound"; readonly afterMs: number }
  | { readonly _tag: "Silence" }

/** Gives the answer that the name has when it is asked. */
export const lookUp = (fabric: Fabric, name: Hostname): Effect.Effect<ReadonlyArray<IpAddress>, LookupError> =>
  Effect.callback<ReadonlyArray<IpAddress>, LookupError>((resume) => {
    const { timeline } = fabric
    fabric.trace?.({ at: timeline.now(), kind: "look_up", connection: 0, side: "dialler", bytes: 0, subject: name })
    const answer = fabric.names.get(name) ?? NOT_FOUND
    const afterMs = answer._tag === "Silence" ? RESOLVER_PATIENCE_MS : answer.afterMs
    const due = timeline.at(timeline.now() + afterMs, () => resume(resultOf(name, answer)))
    return Effect.sync(() => timeline.cancel(due))
  })

const resultOf = (name: Hostname, answer: NameAnswer): Effect.Effect<ReadonlyArray<IpAddress>, LookupError> => {
  if (answer._tag === "Found" && answer.ips.length > 0) return Effect.succeed(answer.ips)
  const message = answer._tag === "Silence" ? `no name server answers for ${name}` : `${name} has no address`
  return Effect.fail(new LookupError({ message }))
}

/** Two questions of five seconds each, as the resolver of glibc asks one name server. */
const RESOLVER_PATIENCE_MS = 10_000

const NOT_FOUND: NameAnswer = { _tag: "NotFound", afterMs: 0 }
