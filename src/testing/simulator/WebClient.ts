/** Plays a client that speaks HTTP: from the TLS handshake until its connection is closed. */
import { Effect, FiberSet } from "effect"
import type { Scope } from "effect"
import type { Duplex } from "node:stream"
import type { ConnectionReset } from "../../net/Connection.ts"
import type { HandshakeError } from "../../net/Network.ts"
import type { Received, SimPeer } from "../../net/sim/SimPeer.ts"
import type { ClientPlan } from "./ClientPlan.ts"
import { shakeHands } from "./WebHandshake.ts"
import type { WebPlan } from "./WebPlan.ts"
import type { RequestRecord } from "./WebRecords.ts"
import type { After } from "./WebStreams.ts"
import { talkHttp1, talkHttp2 } from "./WebTalk.ts"
import type { World } from "./World.ts"

/** Gives how it ended: what came is with the requests, but for that something came where there were none. */
export const converseWeb = Effect.fnUntraced(function* (
  world: World,
  client: ClientPlan,
  web: WebPlan,
  peer: SimPeer
): Effect.fn.Return<Received> {
  const talking = yield* Effect.exit(Effect.scoped(talk(world, client, web, peer)))
  const { bytesRead, socket } = peer.connection
  const hasTalked = talking._tag === "Success"
  const end = socket.state === "failed" ? "RST" : socket.state === "reset" ? "reset" : "FIN"
  return { bytes: new Uint8Array(hasTalked ? 0 : bytesRead), end }
})

const talk = Effect.fnUntraced(function* (
  { journal, requests }: World,
  client: ClientPlan,
  web: WebPlan,
  peer: SimPeer
): Effect.fn.Return<void, ConnectionReset | HandshakeError, Scope.Scope> {
  const after = yield* makeAfter
  const reset = () => peer.reset()
  if (web.resetAfterMs !== undefined) after(web.resetAfterMs, reset)
  yield* peer.write(client.headerBytes)
  const tls = yield* shakeHands(peer, client, web)
  if (tls === undefined) return
  const records = web.requests.map((plan, index): RequestRecord => ({
    client: client.number,
    index,
    plan,
    sentAt: undefined,
    doneAt: undefined,
    statuses: [],
    isBackends: false,
    body: [],
    end: undefined,
    trailer: "",
    cancelledMs: undefined
  }))
  requests.push(...records)
  const { alpn, duplex } = tls
  const speak = alpn === "h2" ? talkHttp2 : talkHttp1
  speak({ client, web, duplex, records, journal, after, reset })
  yield* untilClosed(duplex)
})

/** Of a connection's scope. */
export const makeAfter: Effect.Effect<After, never, Scope.Scope> = Effect.map(
  FiberSet.makeRuntime<never, void, never>(),
  (fork) => (ms, later) => void fork(Effect.delay(Effect.sync(later), ms))
)

export const untilClosed = (duplex: Duplex): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (duplex.closed) return resume(Effect.void)
    duplex.once("close", () => resume(Effect.void))
  })
