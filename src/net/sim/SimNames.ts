/** Looking up names on a simulated network: what each answers, and after what time. */
import { Effect } from "effect"
import type { Hostname } from "../../snapshot/Hostname.ts"
import type { IpAddress } from "../IpAddress.ts"
import { LookupError } from "../Network.ts"
import type { Fabric } from "./Fabric.ts"

/** The answer of a name server. `Silence` is none, and a name that nobody has given an answer is `NotFound` at once. */
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
    if (answer._tag === "Silence") return
    const due = timeline.at(timeline.now() + answer.afterMs, () =>
      resume(
        answer._tag === "Found" && answer.ips.length > 0
          ? Effect.succeed(answer.ips)
          : Effect.fail(new LookupError({ message: `${name} has no address` }))
      )
    )
    return Effect.sync(() => timeline.cancel(due))
  })

const NOT_FOUND: NameAnswer = { _tag: "NotFound", afterMs: 0 }
