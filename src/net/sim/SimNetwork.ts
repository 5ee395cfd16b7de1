/**
 * A TCP network in memory, for tests and simulations: `Network` for the proxy, and every other end in the test's hand.
 *
 * Time is Effect's `Clock`, so that under a `TestClock` none passes but what the test lets pass; chance is the seed's, so
 * that the same program does the same again. Nothing is lost on the way and nothing overtakes, as TCP promises: what goes
 * wrong is what the test makes go wrong. The layer's scope ends all of it.
 *
 * A `TestClock` that is adjusted lets all that it wakes settle before it moves on, but does not wait for what was begun
 * before it was adjusted: a long run on links without latency begins behind a sleep.
 */
import { Context, Effect, Layer, Random } from "effect"
import type { Scope } from "effect"
import type { ListenAddress } from "../../snapshot/Endpoint.ts"
import type { Hostname } from "../../snapshot/Hostname.ts"
import type { IpAddress } from "../IpAddress.ts"
import { Network, type DialError, type ListenError } from "../Network.ts"
import type { SocketAddress } from "../SocketAddress.ts"
import { Fabric, type DialFate } from "./Fabric.ts"
import { DEFAULT_LINK, type Link } from "./Link.ts"
import { SimBackend } from "./SimBackend.ts"
import { BACKLOG_MAX, SimHost, type HostOptions } from "./SimHost.ts"
import type { NameAnswer } from "./SimNames.ts"
import { SimPeer } from "./SimPeer.ts"
import { Timeline } from "./Timeline.ts"
import type { Trace } from "./Trace.ts"

export class SimNetwork extends Context.Service<
  SimNetwork,
  {
    /** The machine that `Network` is on. */
    readonly host: SimHost
    /** Another machine on the same network, for a second proxy: provide it as `Network`. */
    makeHost(options: HostOptions): SimHost
    /** A client; the scope resets it. Waits for an answer as long as it takes. */
    connect(to: SocketAddress, options?: ConnectOptions): Effect.Effect<SimPeer, DialError, Scope.Scope>
    /**
     * Listens for a test, which accepts when it likes; the scope stops that. Without an address of its own it is reached
     * at the loopback addresses.
     */
    listenBackend(address: ListenAddress, options?: BackendOptions): Effect.Effect<SimBackend, ListenError, Scope.Scope>
    /** What a name answers from now on. */
    setName(name: Hostname, answer: NameAnswer): void
    /** What becomes of dials to an address from now on; `undefined`: what is there to be found. */
    setFate(address: SocketAddress | IpAddress, fate: DialFate | undefined): void
    /** Sockets open on all machines, the test's own ends too. */
    openSockets(): number
    /** How much is to happen still: what is on its way, and deadlines that somebody waits for. */
    pendingEvents(): number
  }
>()("mc-proxy/net/sim/SimNetwork") {
  static readonly layer = (options: SimNetworkOptions): Layer.Layer<SimNetwork | Network> =>
    Layer.effectContext(
      Effect.map(make(options), (network) => Context.make(SimNetwork, network).pipe(Context.add(Network, network.host)))
    )
}

export interface SimNetworkOptions extends HostOptions {
  readonly seed: string | number
  /** Of connections that do not say otherwise. */
  readonly link?: Partial<Link>
  readonly trace?: Trace
}

export interface ConnectOptions {
  /** Any address, and port 0 for any port; by default the loopback address of the family. */
  readonly from?: SocketAddress
  readonly link?: Partial<Link>
}

export interface BackendOptions {
  /** How many connections wait to be accepted before SYNs are dropped. */
  readonly backlogMax?: number
  /** Of those who connect, as far as they do not say otherwise. */
  readonly link?: Partial<Link>
}

const make = Effect.fnUntraced(function* (options: SimNetworkOptions) {
  const timeline = yield* Timeline.make
  const random = yield* Random.Random.pipe(Random.withSeed(options.seed))
  const fabric = new Fabric(timeline, random, { ...DEFAULT_LINK, ...options.link }, options.trace)
  /** Where all the test's own ends are. */
  const outside = new SimHost(fabric, {})
  return SimNetwork.of({
    host: new SimHost(fabric, options),
    makeHost: (hostOptions) => new SimHost(fabric, hostOptions),
    connect: (to, { from, link = {} } = {}) =>
      Effect.map(outside.connect(to, { deadline: Infinity, from, link }), (connection) => new SimPeer(connection)),
    listenBackend: (address, { backlogMax = BACKLOG_MAX, link = {} } = {}) =>
      Effect.map(outside.bind(address, { backlogMax, link }), (listener) => new SimBackend(listener, outside)),
    setName: (name, answer) => void fabric.names.set(name, answer),
    setFate: (address, fate) => fabric.setFate(address, fate),
    openSockets: () => fabric.openSockets,
    pendingEvents: () => timeline.pending
  })
})
