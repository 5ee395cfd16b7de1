/**
 * Follows the revisions that a control plane publishes: listens where they say, and runs each accepted connection
 * through the pipeline under the state that is in force at its accept.
 */
import { Context, Effect, Exit, Layer, Result, Scope, Semaphore } from "effect"
import type { Connection } from "../net/Connection.ts"
import { DescriptorBudget, type Place } from "../net/DescriptorBudget.ts"
import { ListenError, Network } from "../net/Network.ts"
import { acquireScoped } from "../net/Scoped.ts"
import { formatSocketAddress, type SocketAddress } from "../net/SocketAddress.ts"
import { Counters } from "../observe/Counters.ts"
import { serve, type PipelineServices } from "../pipeline/Pipeline.ts"
import { apply, NOTHING, type ListenerState, type ProxyState } from "../pipeline/ProxyState.ts"
import type { Edit } from "../snapshot/Change.ts"
import { parseListenAddress } from "../snapshot/Endpoint.ts"
import { Certificates } from "../tls/Certificates.ts"
import { Connections } from "./Connections.ts"
import { EarlyClients } from "./EarlyClients.ts"

export class DataPlane extends Context.Service<
  DataPlane,
  {
    /**
     * Binds listeners ahead of the revision that names them: all of them or none. Those that are bound already stay so.
     * Who comes to them meanwhile waits.
     */
    bind(addrs: ReadonlyArray<string>): Effect.Effect<void, ListenError>
    /** Closes what was bound ahead and is not in force. */
    readonly unbind: Effect.Effect<void>
    /**
     * Puts a revision in force: the next connection is decided by it. The listeners that it adds are bound already.
     * Those that it removes stop accepting; their connections go on.
     */
    publish(revision: number, change: Iterable<Edit>): Effect.Effect<void>
    /** What is in force. */
    readonly state: ProxyState
    /** Where each listener is bound, by its `addr`. */
    readonly bound: ReadonlyMap<string, SocketAddress>
    /** Stops accepting for good. Connections accepted already go on. */
    readonly stopAccepting: Effect.Effect<void>
    /** Until then. */
    readonly accepting: boolean
  }
>()("mc-proxy/server/DataPlane") {
  static readonly layer: Layer.Layer<DataPlane, never, PipelineServices | Counters | Connections | Certificates> =
    Layer.effect(
      DataPlane,
      Effect.suspend(() => make)
    )
}

const make = Effect.gen(function* () {
  const network = yield* Network
  const budget = yield* DescriptorBudget
  const counters = yield* Counters
  const certificates = yield* Certificates
  const connections = yield* Connections
  const context = yield* Effect.context<PipelineServices>()
  const fork = Effect.runForkWith(context)
  const scope = yield* Effect.scope
  const semaphore = yield* Semaphore.make(1)
  const oneAtATime = <A, E>(change: Effect.Effect<A, E>) =>
    semaphore.withPermit(Effect.uninterruptible(Effect.provideContext(change, context)))

  /** Those of the state in force, and those that are bound ahead. */
  const listening = new Map<string, Listening>()
  let accepting = true
  let state = NOTHING

  const accept = (addr: string, early: EarlyClients) => (socket: Connection) => {
    const listener = state.listeners.get(addr)
    if (listener === undefined) early.add(socket)
    else start(socket, listener)
  }

  const start = (socket: Connection, listener: ListenerState) => {
    const live = connections.add(listener.listener.addr, socket)
    listener.counters.connectionsTotal++
    fork(serve(live, state, listener)).addObserver(() => connections.remove(live))
  }

  const bind = Effect.fnUntraced(function* (addr: string) {
    if (!accepting) return yield* new ListenError({ message: `cannot listen on ${addr}: the proxy is shutting down` })
    const own = yield* Scope.fork(scope)
    const early = new EarlyClients(budget)
    const open = Effect.gen(function* () {
      yield* acquireScoped(reserve(budget, addr), (place) => place.release())
      yield* Effect.addFinalizer(() => Effect.sync(() => early.close()))
      return yield* network.listen(Result.getOrThrow(parseListenAddress(addr)), accept(addr, early))
    })
    const bound = yield* open.pipe(
      Scope.provide(own),
      Effect.onError((cause) => Scope.close(own, Exit.failCause(cause)))
    )
    return { addr, bound, early, scope: own } satisfies Listening
  })

  const close = ({ addr, scope: own }: Listening) =>
    Effect.andThen(
      Effect.sync(() => listening.delete(addr)),
      Scope.close(own, Exit.void)
    )

  const closeAll = (which: (listening: Listening) => boolean) =>
    Effect.suspend(() => Effect.forEach([...listening.values()].filter(which), close, { discard: true }))

  const bindAll = Effect.fnUntraced(function* (addrs: ReadonlyArray<string>) {
    const fresh: Array<Listening> = []
    for (const addr of addrs) {
      if (listening.has(addr) || state.listeners.has(addr)) continue
      const undo = Effect.suspend(() => Effect.forEach(fresh, close, { discard: true }))
      const one = yield* Effect.onError(bind(addr), () => undo)
      listening.set(addr, one)
      fresh.push(one)
    }
  })

  const publish = Effect.fnUntraced(function* (revision: number, change: Iterable<Edit>) {
    const before = state
    const applied = yield* apply(before, revision, change, { counters, certificates })
    const added = [...applied.state.listeners.keys()].filter((addr) => !before.listeners.has(addr))
    const unbound = accepting ? added.filter((addr) => !listening.has(addr)) : []
    if (unbound.length > 0) return yield* Effect.die(new Error(`Published without being bound: ${unbound.join(", ")}.`))
    state = applied.state
    applied.settle()
    const fresh = added.flatMap((addr) => listening.get(addr) ?? [])
    for (const { addr, early } of fresh) {
      for (const socket of early.take()) start(socket, state.listeners.get(addr)!)
    }
    yield* Effect.forEach(fresh, logListening, { discard: true })
    yield* closeAll(({ addr }) => before.listeners.has(addr) && !state.listeners.has(addr))
  })

  return DataPlane.of({
    bind: (addrs) => oneAtATime(bindAll(addrs)),
    unbind: oneAtATime(closeAll(({ addr }) => !state.listeners.has(addr))),
    publish: (revision, change) => oneAtATime(publish(revision, change)),
    get state() {
      return state
    },
    get bound() {
      return new Map([...listening].map(([addr, { bound }]) => [addr, bound]))
    },
    stopAccepting: oneAtATime(
      Effect.suspend(() => {
        accepting = false
        return closeAll(() => true)
      })
    ),
    get accepting() {
      return accepting
    }
  })
})

const reserve = (budget: DescriptorBudget["Service"], addr: string): Effect.Effect<Place, ListenError> =>
  Effect.suspend(() => {
    const place = budget.reserve()
    if (place !== undefined) return Effect.succeed(place)
    const limit = "every socket that the limit of open files (RLIMIT_NOFILE, ulimit -n) allows is in use"
    return new ListenError({ message: `cannot listen on ${addr}: ${limit}; raise it` })
  })

const logListening = ({ addr, bound }: Listening) =>
  Effect.annotateLogs(Effect.logInfo("listening"), { listener: addr, address: formatSocketAddress(bound) })

interface Listening {
  readonly addr: string
  readonly bound: SocketAddress
  readonly early: EarlyClients
  readonly scope: Scope.Closeable
}
