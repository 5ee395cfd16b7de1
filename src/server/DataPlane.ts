/**
 * Follows the snapshots that a control plane publishes: listens where they say, and runs each accepted connection
 * through the pipeline under the state that is in force at its accept.
 */
import { Context, Effect, Exit, Layer, Result, Scope, Semaphore } from "effect"
import type { Connection } from "../net/Connection.ts"
import { Network, type ListenError } from "../net/Network.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { Counters } from "../observe/Counters.ts"
import { serve, type PipelineServices } from "../pipeline/Pipeline.ts"
import { parseListenAddress } from "../snapshot/Endpoint.ts"
import type { Snapshot } from "../snapshot/Snapshot.ts"
import { Connections } from "./Connections.ts"
import { compile, type ListenerState, type ProxyState } from "../pipeline/ProxyState.ts"

export class DataPlane extends Context.Service<
  DataPlane,
  {
    /**
     * Puts a snapshot in force: the next connection is decided by it. New listeners are bound first, and where one
     * cannot be, nothing has changed. Removed ones stop accepting; their connections go on.
     */
    publish(snapshot: Snapshot): Effect.Effect<void, ListenError>
    /** Where each listener is bound, by its `addr`. */
    readonly bound: ReadonlyMap<string, SocketAddress>
    /** Stops accepting for good. Connections accepted already go on. */
    readonly stopAccepting: Effect.Effect<void>
  }
>()("mc-proxy/server/DataPlane") {
  static readonly layer: Layer.Layer<DataPlane, never, PipelineServices | Counters | Connections> = Layer.effect(
    DataPlane,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const network = yield* Network
  const counters = yield* Counters
  const connections = yield* Connections
  const fork = Effect.runForkWith(yield* Effect.context<PipelineServices>())
  const scope = yield* Effect.scope
  const oneAtATime = yield* Semaphore.make(1)

  const listening = new Map<string, Listening>()
  let accepting = true
  let state: ProxyState = compile({ revision: 0, listeners: [], firewallRules: [] }, counters)

  /** Listeners that are being bound ahead of the snapshot that names them, and who has come to them already. */
  const binding = new Set<string>()
  let early: ReadonlyArray<readonly [addr: string, socket: Connection]> = []

  const accept = (addr: string) => (socket: Connection) => {
    const listener = state.listeners.get(addr)
    if (listener !== undefined) return start(socket, listener)
    if (binding.has(addr) && early.length < EARLY_MAX) early = [...early, [addr, socket]]
    else socket.reset()
  }

  const start = (socket: Connection, listener: ListenerState) => {
    const live = connections.add(listener.listener.addr, socket)
    listener.counters.connectionsTotal++
    fork(serve(live, state, listener)).addObserver(() => connections.remove(live))
  }

  /** The snapshot is in force, or given up: who came early is served now, or never. */
  const settleEarly = () => {
    const waited = early
    early = []
    binding.clear()
    for (const [addr, socket] of waited) accept(addr)(socket)
  }

  const bind = Effect.fnUntraced(function* (addr: string) {
    const own = yield* Scope.fork(scope)
    const address = Result.getOrThrow(parseListenAddress(addr))
    const bound = yield* network.listen(address, accept(addr)).pipe(
      Scope.provide(own),
      Effect.onError((cause) => Scope.close(own, Exit.failCause(cause)))
    )
    return { addr, bound, scope: own } satisfies Listening
  })

  const close = ({ addr, scope: own }: Listening) =>
    Effect.andThen(
      Effect.sync(() => listening.delete(addr)),
      Scope.close(own, Exit.void)
    )

  /** Ends the series that only `gone` has. */
  const forgetSeries = (gone: ProxyState, kept: ProxyState) => {
    const backends = backendsOf(kept)
    for (const backend of backendsOf(gone)) if (!backends.has(backend)) counters.forgetBackend(backend)
    for (const addr of gone.listeners.keys()) if (!kept.listeners.has(addr)) counters.forgetListener(addr)
  }

  const publish = Effect.fnUntraced(function* (snapshot: Snapshot) {
    const next = compile(snapshot, counters)
    const fresh: Array<Listening> = []
    const undo = Effect.suspend(() => {
      forgetSeries(next, state)
      const closed = Effect.forEach(fresh, (other) => Scope.close(other.scope, Exit.void))
      return Effect.andThen(closed, Effect.sync(settleEarly))
    })
    for (const addr of accepting ? next.listeners.keys() : []) {
      if (listening.has(addr)) continue
      binding.add(addr)
      fresh.push(yield* Effect.onError(bind(addr), () => undo))
    }
    for (const one of fresh) listening.set(one.addr, one)
    const last = state
    state = next
    forgetSeries(last, next)
    settleEarly()
    for (const one of [...listening.values()].filter(({ addr }) => !next.listeners.has(addr))) yield* close(one)
  })

  return DataPlane.of({
    publish: (snapshot) => oneAtATime.withPermits(1)(Effect.uninterruptible(publish(snapshot))),
    get bound() {
      return new Map([...listening].map(([addr, { bound }]) => [addr, bound]))
    },
    stopAccepting: oneAtATime.withPermits(1)(
      Effect.suspend(() => {
        accepting = false
        return Effect.forEach([...listening.values()], close, { discard: true })
      })
    )
  })
})

const backendsOf = ({ listeners }: ProxyState): ReadonlySet<string> =>
  new Set([...listeners.values()].flatMap(({ listener }) => listener.routes.map(({ backend }) => backend)))

/** Binding takes no time worth speaking of; more than this come in it to no honest proxy. */
const EARLY_MAX = 1024

interface Listening {
  readonly addr: string
  readonly bound: SocketAddress
  readonly scope: Scope.Closeable
}
