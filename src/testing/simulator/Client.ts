/** Plays a client: says its piece, leaves as its kind does, and reads what comes all the while. */
import { Effect } from "effect"
import type { ConnectionReset } from "../../net/Connection.ts"
import type { Received, SimPeer } from "../../net/sim/SimPeer.ts"
import { concat } from "../Bytes.ts"
import type { ClientPlan } from "./ClientPlan.ts"
import { EDGE_IPS } from "./Site.ts"
import { converseWeb } from "./WebClient.ts"
import type { World } from "./World.ts"

export const runClient = Effect.fnUntraced(function* (world: World, plan: ClientPlan) {
  yield* Effect.sleep(plan.atMs)
  const received = yield* Effect.option(Effect.scoped(converse(world, plan)))
  world.clients.delete(plan.number)
  world.clientRecords.push({ plan, received: received._tag === "Some" ? received.value : undefined })
})

const converse = Effect.fnUntraced(function* (world: World, plan: ClientPlan) {
  const to = { ip: EDGE_IPS[plan.from.ip.family === 4 ? 0 : 1]!, port: Number(plan.listener.slice(1)) }
  const peer = yield* world.network.connect(to, { from: plan.from })
  world.clients.set(plan.number, peer)
  if (plan.web !== undefined) return yield* converseWeb(world, plan, plan.web, peer)
  const [received] = yield* Effect.all([listen(peer, plan), Effect.ignore(speak(peer, plan))], {
    concurrency: "unbounded"
  })
  return received
})

const speak = Effect.fnUntraced(function* (
  peer: SimPeer,
  { bytes, headerBytes, kind, pauseMs, pieceBytes }: ClientPlan
): Effect.fn.Return<void, ConnectionReset> {
  const all = concat(headerBytes, bytes)
  for (let at = 0; at < all.length; at += pieceBytes) {
    if (at > 0) yield* Effect.sleep(pauseMs)
    yield* peer.write(all.subarray(at, at + pieceBytes))
  }
  if (kind === "finishing" || kind === "leaving") yield* peer.finish
  else if (kind === "resetting" || kind === "breaking") peer.reset()
})

/** Who has not finished stays until the other side has no more of it. */
const listen = Effect.fnUntraced(function* (
  peer: SimPeer,
  { kind, pauseMs, readBytes }: ClientPlan
): Effect.fn.Return<Received> {
  const chunks: Array<Uint8Array> = []
  for (let bytes = yield* peer.readSome(readBytes); bytes.length > 0; bytes = yield* peer.readSome(readBytes)) {
    chunks.push(bytes)
    if (bytes.length === readBytes) yield* Effect.sleep(pauseMs)
  }
  const { end } = yield* peer.readAll
  if (end === "FIN" && kind !== "finishing" && kind !== "leaving") yield* peer.resetByAny
  return { bytes: concat(...chunks), end }
})
