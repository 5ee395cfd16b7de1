/** The one place where a connection ends: what its client sees, what is counted, and what is logged follow from here. */
import { Clock, Effect } from "effect"
import type { Cause } from "effect"
import { Network } from "../net/Network.ts"
import { formatSocketAddress } from "../net/SocketAddress.ts"
import { AccessLog } from "../observe/AccessLog.ts"
import type { ListenerCounters } from "../observe/Counters.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { LiveConnection } from "./LiveConnection.ts"
import type { Outcome } from "./Outcome.ts"

/** What the pipeline says of its end. Whoever ended the connection from outside has the last word on the outcome. */
export interface Ending {
  readonly outcome: Outcome
  readonly rule?: FirewallRule | undefined
  readonly defect?: Cause.Cause<unknown>
  /** More than the outcome tells, for whoever looks for a cause. */
  readonly reason?: string | undefined
}

/** Runs exactly once a connection, when its backend's socket is closed already. */
export const conclude = Effect.fnUntraced(function* (live: LiveConnection, counters: ListenerCounters, ending: Ending) {
  // RST, unless both ways have finished: then the socket is closed and this does nothing.
  live.socket.reset()
  const outcome = live.settle(ending.outcome)
  counters.closed[outcome]++
  live.countBytes()
  live.trace?.end(live, outcome)

  const access = yield* AccessLog
  if (access.enabled) {
    const { client, country = "", hostname = "", route } = live.known
    const peer = live.socket.peer === undefined ? "" : formatSocketAddress(live.socket.peer)
    access.connection({
      time: (yield* Clock.Clock).currentTimeMillisUnsafe(),
      id: live.id,
      listener: live.listener,
      client: client === undefined ? peer : formatSocketAddress(client),
      peer,
      country,
      hostname,
      backend: route?.route.backend ?? "",
      mode: route?.route.mode ?? "",
      outcome,
      rule: ending.rule === undefined ? "" : `${ending.rule.type} ${ending.rule.value}`,
      fromClient: live.bytesFromClient,
      fromBackend: live.bytesFromBackend,
      durationMs: (yield* Network).now() - live.acceptedAt,
      dialMs: live.dialMs
    })
  }
  if (ending.reason !== undefined) {
    yield* Effect.logDebug(outcome).pipe(Effect.annotateLogs({ id: live.id, reason: ending.reason }))
  }
  if (outcome === "internal" || ending.defect !== undefined) {
    yield* Effect.logError("a connection met a defect of the proxy", ending.defect ?? "interrupted").pipe(
      Effect.annotateLogs({ id: live.id, listener: live.listener })
    )
  }
})
