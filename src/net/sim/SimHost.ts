/**
 * One machine of a simulated network, with its addresses and its descriptors: `Network` for whoever runs on it.
 *
 * It dials from the first of its addresses of the family it dials to. It listens on all of them, or on any single one of
 * a family that it speaks, its own or not. Past `socketsMax` dials fail, and what is accepted is reset without a word, as
 * libuv does it.
 */
import { Effect, Option } from "effect"
import type { Context, Scope } from "effect"
import type { Duplex } from "node:stream"
import { formatListenAddress, type ListenAddress } from "../../snapshot/Endpoint.ts"
import type { Hostname } from "../../snapshot/Hostname.ts"
import type { Connection } from "../Connection.ts"
import { parseIpAddress, type IpAddress } from "../IpAddress.ts"
import {
  ListenError,
  type ClientTls,
  type DialError,
  type HandshakeError,
  type LookupError,
  type Network,
  type RelayEnd,
  type RelayTimeouts,
  type ServerTls,
  type TlsStream
} from "../Network.ts"
import { acquireScoped } from "../Scoped.ts"
import { formatSocketAddress, type SocketAddress } from "../SocketAddress.ts"
import type { Fabric } from "./Fabric.ts"
import { drawInteger, type Link, type Range } from "./Link.ts"
import { secure, terminate } from "./NullTls.ts"
import { SimConnection } from "./SimConnection.ts"
import { SimDial } from "./SimDial.ts"
import { SimListener } from "./SimListener.ts"
import { SimDuplex } from "./SimDuplex.ts"
import { lookUp } from "./SimNames.ts"
import { relay } from "./SimRelay.ts"

export interface HostOptions {
  /** Its own; a family without one does not exist for it. */
  readonly ips?: ReadonlyArray<IpAddress>
  /** Of listeners, connections and dials together. */
  readonly socketsMax?: number
  /** How long a connection waits before it is accepted, milliseconds. */
  readonly acceptMs?: Range
}

export class SimHost implements Context.Service.Shape<typeof Network> {
  /** May be changed at any time; what is open stays open. */
  socketsMax: number
  readonly now: () => number
  readonly #fabric: Fabric
  readonly #ips: ReadonlyArray<IpAddress>
  readonly #acceptMs: Range
  #openSockets = 0

  constructor(fabric: Fabric, { ips = LOOPBACKS, socketsMax = Infinity, acceptMs = AT_ONCE }: HostOptions) {
    this.#fabric = fabric
    this.#ips = ips
    this.socketsMax = socketsMax
    this.#acceptMs = acceptMs
    this.now = fabric.timeline.now
  }

  /** How many it has open, with those that listen or are dialling. */
  get openSockets(): number {
    return this.#openSockets
  }

  listen(
    address: ListenAddress,
    accept: (connection: Connection) => void
  ): Effect.Effect<SocketAddress, ListenError, Scope.Scope> {
    return Effect.map(this.bind(address, { backlogMax: BACKLOG_MAX, link: {} }), (listener) => {
      const { timeline, random } = this.#fabric
      listener.arrived = () =>
        timeline.at(timeline.now() + drawInteger(random, this.#acceptMs), () => {
          const connection = this.accept(listener)
          if (connection !== undefined) accept(connection)
        })
      return listener.address
    })
  }

  lookup(name: Hostname): Effect.Effect<ReadonlyArray<IpAddress>, LookupError> {
    return lookUp(this.#fabric, name)
  }

  dial(address: SocketAddress, deadline: number): Effect.Effect<SimConnection, DialError, Scope.Scope> {
    return this.connect(address, { deadline, from: undefined, link: {} })
  }

  relay(client: Connection, backend: Connection, timeouts: RelayTimeouts): Effect.Effect<RelayEnd> {
    return client instanceof SimConnection && backend instanceof SimConnection
      ? relay(client, backend, timeouts, this.#fabric.timeline)
      : Effect.die(NOT_OURS)
  }

  terminate(client: Connection, { alpn, deadline }: ServerTls): Effect.Effect<TlsStream, HandshakeError, Scope.Scope> {
    return client instanceof SimConnection ? terminate(client, { alpn, deadline }) : Effect.die(NOT_OURS)
  }

  secure(backend: Connection, tls: ClientTls): Effect.Effect<TlsStream, HandshakeError, Scope.Scope> {
    return backend instanceof SimConnection ? secure(backend, tls) : Effect.die(NOT_OURS)
  }

  asDuplex(connection: Connection): Duplex {
    if (!(connection instanceof SimConnection)) throw new Error(NOT_OURS)
    return new SimDuplex(connection)
  }

  /** Like `dial`, from any address and over a link of its own. Without a port in `from` the host picks one. */
  connect(
    to: SocketAddress,
    options: { readonly deadline: number; readonly from: ListenAddress | undefined; readonly link: Partial<Link> }
  ): Effect.Effect<SimConnection, DialError, Scope.Scope> {
    const dialling = Effect.suspend(() => {
      const ip = options.from?.ip ?? this.#ips.find(({ family }) => family === to.ip.family)
      if (ip === undefined) return failDial("dial_failed", `${formatSocketAddress(to)}: ENETUNREACH`)
      if (!this.#takeSocket()) return failDial("descriptors", `${formatSocketAddress(to)}: EMFILE`)
      const port = options.from?.port || this.#fabric.freePort()
      const { deadline, link } = options
      const request = { from: { ip, port }, to, link, deadline, free: this.#freeSocket }
      return Effect.succeed(new SimDial(this.#fabric, request))
    })
    // The scope has the dial before there is a connection, so that it cannot miss one.
    return Effect.flatMap(
      acquireScoped(dialling, (dial) => dial.release()),
      ({ connected }) => connected
    )
  }

  /** Listens until the scope closes, and leaves accepting to the caller. */
  bind(
    address: ListenAddress,
    options: { readonly backlogMax: number; readonly link: Partial<Link> }
  ): Effect.Effect<SimListener, ListenError, Scope.Scope> {
    const families = new Set(this.#ips.map(({ family }) => family))
    const binding = Effect.suspend(() => {
      const wildcard = families.has(6) ? IPV6_ANY : IPV4_ANY
      const ip = address.ip ?? wildcard
      if (!families.has(ip.family)) return failListen(address, "no interface of this machine has that address")
      const port = address.port === 0 ? this.#fabric.freePort() : address.port
      const reachedAt = (address.ip === undefined ? this.#ips : [ip]).map((own) => ({ ip: own, port }))
      const listener = new SimListener({ ip, port }, reachedAt, options)
      if (!this.#takeSocket()) return failListen(address, "no descriptor is left")
      if (!this.#fabric.bind(listener)) {
        this.#freeSocket()
        return failListen(address, "the address is in use")
      }
      this.#trace("listen", listener.address)
      return Effect.succeed(listener)
    })
    const release = (listener: SimListener) => {
      this.#trace("stop_listening", listener.address)
      this.#fabric.unbind(listener)
      listener.close()
      this.#freeSocket()
    }
    return acquireScoped(binding, release)
  }

  /** The next connection that waits; undefined where there is none, or no descriptor for it, which resets it. */
  accept(listener: SimListener): SimConnection | undefined {
    const socket = listener.take()
    if (socket === undefined) return undefined
    if (!this.#takeSocket()) {
      socket.reset()
      return undefined
    }
    socket.holdDescriptor(this.#freeSocket)
    socket.trace("accept", 0, formatSocketAddress(socket.peer))
    return new SimConnection(socket, this.#fabric.timeline)
  }

  #takeSocket(): boolean {
    if (this.#openSockets >= this.socketsMax) return false
    this.#openSockets++
    this.#fabric.openSockets++
    return true
  }

  readonly #freeSocket = (): void => {
    this.#openSockets--
    this.#fabric.openSockets--
  }

  #trace(kind: "listen" | "stop_listening", address: SocketAddress): void {
    const { timeline, trace } = this.#fabric
    trace?.({
      at: timeline.now(),
      kind,
      connection: 0,
      side: "listener",
      bytes: 0,
      subject: formatSocketAddress(address)
    })
  }
}

const NOT_OURS = "A connection of another network was given to a simulated one."

const failDial = (_tag: DialError["_tag"], reason: string): Effect.Effect<never, DialError> =>
  Effect.fail({ _tag, reason })

const failListen = (address: ListenAddress, problem: string): Effect.Effect<never, ListenError> =>
  Effect.fail(new ListenError({ message: `cannot listen on ${formatListenAddress(address)}: ${problem}` }))

/** As many as the layer of Node's sockets asks for. */
export const BACKLOG_MAX = 4096

const AT_ONCE: Range = { min: 0, max: 0 }

const ip = (text: string): IpAddress => Option.getOrThrow(Option.fromUndefinedOr(parseIpAddress(text)))
const LOOPBACKS = [ip("127.0.0.1"), ip("::1")]
const IPV4_ANY = ip("0.0.0.0")
const IPV6_ANY = ip("::")
