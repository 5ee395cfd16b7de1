/**
 * The life of a connection: accept → identify → admit → peek → route → relay or terminate.
 *
 * Each stage takes the typed value of the one before, so that the compiler refuses a pipeline that routes before the
 * firewall. A stage that refuses fails with the outcome as its tag. `serve` cannot fail: whatever happens, it ends with
 * both sockets closed and one outcome, counted and logged.
 */
import { Cause, Effect, Exit, Option } from "effect"
import type { Scope } from "effect"
import type { GeoIp } from "../firewall/GeoIp.ts"
import type { RateLimiter } from "../firewall/RateLimiter.ts"
import type { Backends } from "../l7/backend/Backends.ts"
import type { ClientPlace, DescriptorBudget } from "../net/DescriptorBudget.ts"
import type { Dialer } from "../net/Dialer.ts"
import type { Network, RelayEnd } from "../net/Network.ts"
import type { AccessLog } from "../observe/AccessLog.ts"
import type { ListenerCounters } from "../observe/Counters.ts"
import { Tracing } from "../observe/Tracing.ts"
import { isL7 } from "../routing/RouteTable.ts"
import type { ConnectionQuota } from "./ConnectionQuota.ts"
import type { ListenerState, ProxyState } from "./ProxyState.ts"
import { accept, type AcceptRefusal } from "./Accept.ts"
import { admit, type AdmitRefusal } from "./Admit.ts"
import { conclude, type Ending } from "./Conclude.ts"
import { identify, type IdentifyRefusal } from "./Identify.ts"
import { ConnectionTrace } from "./ConnectionTrace.ts"
import type { LiveConnection } from "./LiveConnection.ts"
import { peek, type HelloRefusal } from "./Peek.ts"
import { relay, type RelayRefusal } from "./Relay.ts"
import { route, type Routed, type RouteRefusal } from "./Route.ts"
import { Settings } from "./Settings.ts"
import { terminate, type TerminateRefusal } from "./Terminate.ts"

/** What a data plane must have to run connections. */
export type PipelineServices =
  AccessLog | Backends | ConnectionQuota | DescriptorBudget | Dialer | GeoIp | Network | RateLimiter | Settings

/** Runs one accepted connection to its end, under the state and the listener's of its accept. */
export const serve = (
  live: LiveConnection,
  state: ProxyState,
  listener: ListenerState
): Effect.Effect<unknown, never, PipelineServices> => run(live, listener.counters, new Grounds(state, listener))

/** What is outside of `onExit` cannot be interrupted: until then nobody knows the fiber. */
const run = (live: LiveConnection, counters: ListenerCounters, grounds: Grounds) =>
  Effect.withFiber((fiber) => {
    live.runBy(fiber, counters)
    const sink = fiber.getRef(Tracing)
    if (sink?.ready === true) live.trace = new ConnectionTrace(sink)
    return decide(live, grounds)
  }).pipe(
    Effect.flatMap(([routed, place]) => carry(routed, live, place)),
    Effect.scoped,
    Effect.onExit((exit) => conclude(live, counters, endingOf(exit))),
    Effect.exit
  )

/** The last stage, by the route's mode. */
const carry = (
  routed: Routed,
  live: LiveConnection,
  place: ClientPlace
): Effect.Effect<RelayEnd, RelayRefusal | TerminateRefusal, PipelineServices | Scope.Scope> =>
  isL7(routed.route) ? terminate(routed, routed.route, live, place) : relay(routed, live, place)

/** The stages that decide. What they decide by is let go when they are done; a relay may last for days. */
const decide = Effect.fnUntraced(function* (
  live: LiveConnection,
  grounds: Grounds
): Effect.fn.Return<readonly [Routed, ClientPlace], DecisionRefusal, DecisionServices> {
  const settings = yield* Settings
  const deadline = live.acceptedAt + settings.helloTimeoutMs
  const { state, listener } = grounds.take()

  live.trace?.stage("accept")
  const place = yield* accept(live, listener.listener.maxConnections)
  live.trace?.stage("identify")
  const identified = (live.known = yield* identify(live.socket, listener, deadline))
  live.trace?.stage("admit")
  const admitted = yield* admit(identified, live, state.firewall)
  live.trace?.stage("peek")
  const named = (live.known = yield* peek(admitted, live.socket, settings.helloBytesMax, deadline))
  live.trace?.stage("route")
  const routed = (live.known = yield* route(named, listener.routes))
  return [routed, place]
})

/**
 * What a connection is decided by, taken out once. An effect stays on its fiber's stack while what follows it runs, and
 * keeps alive all that it was made with; the state would outlive its successors for as long as the connection.
 */
class Grounds {
  #held: { readonly state: ProxyState; readonly listener: ListenerState } | undefined

  constructor(state: ProxyState, listener: ListenerState) {
    this.#held = { state, listener }
  }

  take(): { readonly state: ProxyState; readonly listener: ListenerState } {
    if (this.#held === undefined) throw new Error("A connection is decided once.")
    const held = this.#held
    this.#held = undefined
    return held
  }
}

type DecisionRefusal = AcceptRefusal | IdentifyRefusal | AdmitRefusal | HelloRefusal | RouteRefusal
type DecisionServices = Settings | ConnectionQuota | DescriptorBudget | GeoIp | RateLimiter | Scope.Scope

/** What an exit says of how the connection ended. A defect is ours, and so is an interruption that gave no reason. */
const endingOf = (exit: Exit.Exit<RelayEnd, DecisionRefusal | RelayRefusal | TerminateRefusal>): Ending => {
  if (Exit.isSuccess(exit)) return { outcome: exit.value }
  if (Cause.hasDies(exit.cause)) return { outcome: "internal", defect: exit.cause }
  const refusal = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (refusal === undefined) return { outcome: "internal" }
  return {
    outcome: refusal._tag,
    rule: "rule" in refusal ? refusal.rule : undefined,
    reason: "reason" in refusal ? refusal.reason : undefined
  }
}
