/** The last stage on L4: reach the backend, tell it who the client is where the route says so, and relay. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { Dialer } from "../net/Dialer.ts"
import { Network, type DialError, type RelayEnd } from "../net/Network.ts"
import type { ClientPlace } from "../net/DescriptorBudget.ts"
import type { CompiledRoute } from "../routing/RouteTable.ts"
import { writeProxyHeader } from "../proxyproto/ProxyHeaderV2.ts"
import type { LiveConnection } from "./LiveConnection.ts"
import { refuse, type Refusal } from "./Refusal.ts"
import type { Routed } from "./Route.ts"
import { Settings } from "./Settings.ts"

export type RelayRefusal = DialError | Refusal<"reset">

/** The client's bytes, its hello first, reach the backend unchanged. A client that resets while we dial cancels that. */
export const relay = Effect.fnUntraced(function* (
  routed: Routed,
  live: LiveConnection,
  place: ClientPlace
): Effect.fn.Return<RelayEnd, RelayRefusal, Network | Dialer | Settings | Scope.Scope> {
  const network = yield* Network
  const dialer = yield* Dialer
  const settings = yield* Settings
  const { backend: address, dials, route } = routed.route

  const startedAt = network.now()
  live.socket.onReset(() => live.end("reset"))
  live.trace?.stage("dial")
  const backend = yield* dialer
    .dial(address, startedAt + settings.connectTimeoutMs, place)
    .pipe(Effect.tapError((error) => warnOfFailing(routed.route, error, network.now())))
  live.backend = backend
  live.dialMs = network.now() - startedAt
  dials.observe(live.dialMs)
  live.trace?.stage("relay")

  if (route.sendProxyProtocol) {
    const destination = routed.destination ?? live.socket.local
    if (destination === undefined) return yield* refuse("reset")
    const header = writeProxyHeader({
      client: routed.client,
      destination,
      authority: routed.hostname,
      uniqueId: live.id
    })
    live.proxyHeaderBytes = header.length
    yield* Effect.catch(backend.write(header), () => refuse("reset"))
  }
  return yield* network.relay(live.socket, backend, settings)
})

/** Tells the operator of a backend that cannot be reached, once in a while however many clients ask for it. */
const warnOfFailing = ({ backendAlarm, route }: CompiledRoute, { reason }: DialError, now: number) =>
  backendAlarm.raise(now)
    ? Effect.logWarning("a backend cannot be reached").pipe(
        Effect.annotateLogs({ hostname: route.hostname, backend: route.backend, reason })
      )
    : Effect.void
