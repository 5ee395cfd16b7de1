/**
 * The HTTP connections to backends: dialled, secured, pooled and reused, behind one call.
 *
 * A pool belongs to one route, or, where the backend is told each client's address by PROXY protocol, to one client's
 * connection. Which protocol the backend speaks is seen by nobody outside.
 */
import { Context, Effect, FiberSet, FileSystem, Layer, type Scope } from "effect"
import { DescriptorBudget, type BackendPlaces, type ClientPlace, type Place } from "../../net/DescriptorBudget.ts"
import { Dialer } from "../../net/Dialer.ts"
import { Network } from "../../net/Network.ts"
import { acquireScoped } from "../../net/Scoped.ts"
import type { SocketAddress } from "../../net/SocketAddress.ts"
import { Settings } from "../../pipeline/Settings.ts"
import type { CompiledL7Route } from "../../routing/RouteTable.ts"
import type { IncomingBody, OutgoingBody, ResponseHead } from "../Message.ts"
import type { VirtualHost } from "../VirtualHost.ts"
import type { BackendConnection, ConnectionOwner } from "./BackendConnection.ts"
import { dialBackend } from "./BackendDial.ts"
import { Http1Connection } from "./Http1Connection.ts"
import { openHttp2, STREAMS_MAX } from "./Http2Connection.ts"
import type { PendingRequest } from "./PendingRequest.ts"
import { Pool } from "./Pool.ts"

export class Backends extends Context.Service<
  Backends,
  {
    /** The route's pool for one client connection; the scope is that connection's. */
    pool(route: CompiledL7Route, client: ClientOfPool): Effect.Effect<BackendPool, never, Scope.Scope>
  }
>()("mc-proxy/l7/backend/Backends") {
  static readonly layer: Layer.Layer<
    Backends,
    never,
    DescriptorBudget | Dialer | FileSystem.FileSystem | Network | Settings
  > = Layer.effect(
    Backends,
    Effect.suspend(() => make)
  )
}

/** Whose requests will be sent. */
export interface ClientOfPool {
  /** The connection's id. */
  readonly id: string
  readonly client: SocketAddress
  /** What the client connected to, for the PROXY header. */
  readonly destination: SocketAddress
  /** Counts sockets that are dialled for this client alone. */
  readonly place: ClientPlace
}

export interface BackendPool {
  /**
   * Sends a request on a connection that is there or is dialled, and waits for the head of the response. Whoever asks
   * cancels the request when it is over, however it has ended.
   */
  send(request: PendingRequest): Effect.Effect<BackendResponse, BackendFailed>
  /** Whether a WebSocket can be asked for: always on HTTP/1.1, and on HTTP/2 when the backend said so (RFC 8441 3). */
  readonly takesWebSockets: boolean
  /** Calls back once `takesWebSockets` has become true, until the scope of the pool closes. */
  onWebSockets(listener: () => void): void
}

export interface BackendResponse extends ResponseHead {
  /** `undefined`: there is none. */
  readonly body: IncomingBody | undefined
  /** Of a WebSocket that was accepted: what the client sends, from here on. */
  readonly upgraded: OutgoingBody | undefined
}

/** Why there is no response. A value; `reason` is for the log. */
export interface BackendFailed {
  /** `unavailable`: 502; `timed_out`: 504, it was not reached in time; `unsupported`: 501, it takes no WebSocket, or no such method. */
  readonly _tag: "unavailable" | "timed_out" | "unsupported"
  /**
   * Proof that the backend, which was there, did nothing about the request: it may be sent again (RFC 9113 8.7).
   * False where the backend was not reached, since to ask again at once would only meet the same.
   */
  readonly unprocessed: boolean
  readonly reason: string
}

/**
 * All of them together are bounded by the descriptor budget; this keeps one route from taking all of a large one. With
 * HTTP/1.1 each WebSocket and each stream of events holds a connection; with HTTP/2 it is for 4,096 requests at a time,
 * unless the backend asks for less.
 */
const HTTP1_CONNECTIONS_MAX = 16_384
const HTTP2_CONNECTIONS_MAX = 32

interface SharedPool {
  readonly pool: Pool
  /** Client connections that use it. */
  users: number
}

const make = Effect.gen(function* () {
  const network = yield* Network
  const budget = yield* DescriptorBudget
  const settings = yield* Settings
  const services = Context.make(Network, network).pipe(
    Context.add(Dialer, yield* Dialer),
    Context.add(FileSystem.FileSystem, yield* FileSystem.FileSystem),
    Context.add(Settings, settings)
  )
  const runShared = yield* FiberSet.makeRuntime<never, void, never>()
  /** By what a change of the route replaces. */
  const shared = new Map<VirtualHost, SharedPool>()

  const connectTo = (route: CompiledL7Route, client: ClientOfPool | undefined, places: BackendPlaces) =>
    Effect.fnUntraced(function* (
      owner: ConnectionOwner
    ): Effect.fn.Return<BackendConnection, BackendFailed, Scope.Scope> {
      const deadline = network.now() + settings.connectTimeoutMs
      const opened = yield* Effect.provideContext(dialBackend(route, client, places, deadline), services)
      return route.route.backendProtocol === "h2"
        ? yield* openHttp2(opened, owner, deadline - network.now())
        : new Http1Connection(opened, owner)
    })

  const poolOf = (
    route: CompiledL7Route,
    client: ClientOfPool | undefined,
    run: (fiber: Effect.Effect<void>) => void,
    onEmpty: () => void
  ): Pool => {
    const isHttp2 = route.route.backendProtocol === "h2"
    const pool = new Pool({
      requestsEach: isHttp2 ? STREAMS_MAX : 1,
      connectionsMax: isHttp2 ? HTTP2_CONNECTIONS_MAX : HTTP1_CONNECTIONS_MAX,
      connectTimeoutMs: settings.connectTimeoutMs,
      connect: connectTo(route, client, client?.place ?? sharedPlaces(budget)),
      run,
      onEmpty
    })
    pool.takesWebSockets = !isHttp2
    return pool
  }

  const retainShared = (route: CompiledL7Route): SharedPool => {
    const known = shared.get(route.host)
    if (known !== undefined) {
      known.users++
      return known
    }
    const made: SharedPool = {
      users: 1,
      pool: poolOf(route, undefined, runShared, () => {
        if (made.users === 0 && shared.get(route.host) === made) shared.delete(route.host)
      })
    }
    shared.set(route.host, made)
    return made
  }

  const releaseShared = ({ host }: CompiledL7Route, used: SharedPool): void => {
    if (--used.users === 0 && used.pool.isEmpty) shared.delete(host)
  }

  return Backends.of({
    pool: Effect.fnUntraced(function* (route, client) {
      if (route.route.sendProxyProtocol) {
        const run = yield* FiberSet.makeRuntime<never, void, never>()
        return yield* handleOf(poolOf(route, client, run, () => {}))
      }
      const used = yield* acquireScoped(
        Effect.sync(() => retainShared(route)),
        (held) => releaseShared(route, held)
      )
      return yield* handleOf(used.pool)
    })
  })
})

/** A pool in the hand of one client connection, whose scope takes back what it has asked of it. */
const handleOf = Effect.fnUntraced(function* (pool: Pool): Effect.fn.Return<BackendPool, never, Scope.Scope> {
  const takeBacks: Array<() => void> = []
  yield* acquireScoped(Effect.void, () => takeBacks.forEach((takeBack) => takeBack()))
  return {
    send: (request) => pool.send(request),
    get takesWebSockets() {
      return pool.takesWebSockets
    },
    onWebSockets: (listener) => void takeBacks.push(pool.onWebSockets(listener))
  }
})

/** Places for sockets that belong to no client. */
const sharedPlaces = (budget: DescriptorBudget["Service"]): BackendPlaces => {
  const held: Array<Place> = []
  return {
    takeBackend: () => {
      const place = budget.reserve()
      if (place !== undefined) held.push(place)
      return place !== undefined
    },
    releaseBackend: () => held.pop()?.release()
  }
}
