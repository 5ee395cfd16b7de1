/**
 * The last stage on L7: TLS ends here, and each request of HTTP goes its own way from here.
 *
 * The handshake begins with the ClientHello that was peeked. What is agreed on by ALPN is spoken until the client has
 * gone, the connection was idle for too long, or its route or the proxy retires it.
 */
import { Clock, Effect } from "effect"
import type { Scope } from "effect"
import { Backends } from "../l7/backend/Backends.ts"
import { serveClient, type ClientConnection } from "../l7/client/ClientConnection.ts"
import { Http1Client } from "../l7/client/Http1Client.ts"
import { Http2Client } from "../l7/client/Http2Client.ts"
import type { ClientPlace } from "../net/DescriptorBudget.ts"
import { Network, type Alpn, type HandshakeError, type RelayEnd } from "../net/Network.ts"
import { formatSocketAddress } from "../net/SocketAddress.ts"
import { AccessLog } from "../observe/AccessLog.ts"
import type { CompiledL7Route } from "../routing/RouteTable.ts"
import type { SecureContext } from "../tls/SecureContexts.ts"
import type { LiveConnection } from "./LiveConnection.ts"
import { refuse, type Refusal } from "./Refusal.ts"
import type { Routed } from "./Route.ts"
import { Settings } from "./Settings.ts"

export type TerminateRefusal = HandshakeError | Refusal<"certificate_unavailable" | "reset">

/** What is spoken, the best first. */
const ALPN: ReadonlyArray<Alpn> = ["h2", "http/1.1"]

export const terminate = Effect.fnUntraced(function* (
  { client, destination, hostname }: Routed,
  compiled: CompiledL7Route,
  live: LiveConnection,
  place: ClientPlace
): Effect.fn.Return<RelayEnd, TerminateRefusal, AccessLog | Backends | Network | Settings | Scope.Scope> {
  const network = yield* Network
  const settings = yield* Settings
  const local = destination ?? live.socket.local
  if (local === undefined) return yield* refuse("reset")

  const context = yield* certificateOf(compiled)
  live.isTerminated = true
  live.trace?.stage("terminate")
  const tls = yield* network.terminate(live.socket, {
    context,
    alpn: ALPN,
    deadline: network.now() + settings.handshakeTimeoutMs
  })

  const pool = yield* (yield* Backends).pool(compiled, { id: live.id, client, destination: local, place })
  const clock = yield* Clock.Clock
  const grounds = {
    host: compiled.host,
    pool,
    client: client.ip,
    access: yield* AccessLog,
    trace: live.trace,
    told: { id: live.id, listener: live.listener, client: formatSocketAddress(client), hostname },
    now: () => network.now(),
    wallClock: () => clock.currentTimeMillisUnsafe()
  }
  const speak = (connection: ClientConnection) =>
    tls.alpn === "h2" ? new Http2Client(connection, pool, hostname) : new Http1Client(connection, hostname)
  const served = yield* serveClient({ duplex: tls.duplex, socket: live.socket }, grounds, settings, speak)
  live.onRetire(() => served.retire())
  if (live.retired) served.retire()
  return yield* served.ended
})

/** What the route's handshakes are served with, now. */
export const certificateOf = ({
  certificate: { context }
}: CompiledL7Route): Effect.Effect<SecureContext, Refusal<"certificate_unavailable">> =>
  context === undefined ? refuse("certificate_unavailable") : Effect.succeed(context)
