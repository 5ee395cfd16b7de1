/** A data plane on a network in memory. */
import { Clock, Context, Effect, Layer } from "effect"
import type { ConnectionEntry } from "../../src/observe/AccessLog.ts"
import { Counters } from "../../src/observe/Counters.ts"
import { Connections } from "../../src/server/Connections.ts"
import { DataPlane } from "../../src/server/DataPlane.ts"
import * as LocalFollower from "../../src/server/LocalFollower.ts"
import { Follower } from "../../src/control/Follower.ts"
import { diff, EMPTY, type State } from "../../src/snapshot/Change.ts"
import type { SocketAddress } from "../../src/net/SocketAddress.ts"
import type { Listener, Snapshot } from "../../src/snapshot/Snapshot.ts"
import { FakeConnection } from "../pipeline/FakeConnection.ts"
import { FakeNetwork } from "../pipeline/FakeNetwork.ts"
import { CLIENT, LISTENER, LOCAL, layerWorld, type Told, type WorldOptions } from "../pipeline/World.ts"

export const makePlane = Effect.fnUntraced(function* (options: WorldOptions = {}) {
  const network = new FakeNetwork(yield* Clock.Clock)
  const told: Told = { entries: [], requests: [], lines: [] }
  const services = yield* Layer.build(
    LocalFollower.layer.pipe(
      Layer.provideMerge(DataPlane.layer),
      Layer.provideMerge(layerWorld(network, told, options))
    )
  )
  const plane = Context.get(services, DataPlane)
  let inForce: Snapshot = { ...EMPTY, revision: 0 }
  return {
    ...told,
    network,
    services,
    plane,
    follower: Context.get(services, Follower),
    /** What a control plane does to put another state in force. */
    publish: Effect.fnUntraced(function* (next: State) {
      yield* plane.bind(next.listeners.map(({ addr }) => addr))
      yield* plane.publish(inForce.revision + 1, diff(inForce, next))
      inForce = { ...next, revision: inForce.revision + 1 }
    }),
    connections: Context.get(services, Connections),
    counters: Context.get(services, Counters)
  }
})

export const listenerAt = (addr: string, differences: Partial<Listener> = {}): Listener => ({
  ...LISTENER,
  addr,
  ...differences
})

export const snapshotOf = (
  listeners: ReadonlyArray<Listener>,
  firewallRules: Snapshot["firewallRules"] = []
): Snapshot => ({ revision: 1, listeners, firewallRules })

/** A client connects to the listener, and sends this. */
export const connect = (
  network: FakeNetwork,
  addr: string,
  bytes?: Uint8Array,
  peer: SocketAddress = CLIENT
): FakeConnection => {
  const socket = new FakeConnection(network, peer, LOCAL)
  network.listening.get(addr)!(socket)
  if (bytes !== undefined) socket.send(bytes)
  return socket
}

export const outcomesOf = (entries: ReadonlyArray<ConnectionEntry>): ReadonlyArray<string> =>
  entries.map(({ outcome }) => outcome)
