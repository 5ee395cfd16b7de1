/**
 * Everything a connection passes through, real but for the network, the GeoIP database and the logs' destination; and
 * what is to be said of every connection's end.
 */
import { assert } from "@effect/vitest"
import { Clock, Context, Effect, FileSystem, Layer, Result } from "effect"
import type { Fiber, Scope } from "effect"
import * as fc from "fast-check"
import { GeoIp } from "../../src/firewall/GeoIp.ts"
import { RateLimiter } from "../../src/firewall/RateLimiter.ts"
import { DescriptorBudget } from "../../src/net/DescriptorBudget.ts"
import { Backends } from "../../src/l7/backend/Backends.ts"
import { Dialer } from "../../src/net/Dialer.ts"
import type { IpAddress } from "../../src/net/IpAddress.ts"
import { Network } from "../../src/net/Network.ts"
import { formatSocketAddress, type SocketAddress } from "../../src/net/SocketAddress.ts"
import { AccessLog, type ConnectionEntry, type RequestEntry } from "../../src/observe/AccessLog.ts"
import { Counters, type ListenerCounters } from "../../src/observe/Counters.ts"
import * as Log from "../../src/observe/Log.ts"
import { LogSink } from "../../src/observe/LogSink.ts"
import { explain, type ConnectionQuestion, type Explanation } from "../../src/pipeline/Explain.ts"
import type { LiveConnection } from "../../src/pipeline/LiveConnection.ts"
import type { Outcome } from "../../src/pipeline/Outcome.ts"
import { serve } from "../../src/pipeline/Pipeline.ts"
import { Settings } from "../../src/pipeline/Settings.ts"
import { ConnectionQuota } from "../../src/pipeline/ConnectionQuota.ts"
import { Connections } from "../../src/server/Connections.ts"
import { apply, NOTHING } from "../../src/pipeline/ProxyState.ts"
import { diff, EMPTY } from "../../src/snapshot/Change.ts"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { parseHostname, type Hostname } from "../../src/snapshot/Hostname.ts"
import type { L4Route, L7Route, Listener } from "../../src/snapshot/Snapshot.ts"
import { address } from "../proxyproto/ProxyHeaders.ts"
import { Certificates } from "../../src/tls/Certificates.ts"
import { clientHello, inRecords, serverName } from "../tls/TlsBuilder.ts"
import { FakeConnection } from "./FakeConnection.ts"
import { FakeNetwork } from "./FakeNetwork.ts"

export interface WorldOptions {
  readonly listener?: Partial<Listener>
  readonly rules?: ReadonlyArray<FirewallRule>
  readonly settings?: Partial<Settings["Service"]>
  /** Admissions of a source within a minute. */
  readonly rateLimit?: number
  readonly socketsMax?: number
  readonly accessLog?: boolean
  readonly logLevel?: "debug"
  readonly country?: (ip: IpAddress) => string
  readonly reload?: GeoIp["Service"]["reload"]
}

export const hostname = (text: string): Hostname => Result.getOrThrow(parseHostname(text))

export const ROUTE: L4Route = {
  mode: "l4",
  hostname: hostname("git.example.net"),
  backend: "192.0.2.10:18443",
  sendProxyProtocol: false
}

/** The same, on L7. */
export const TERMINATED: L7Route = {
  ...ROUTE,
  mode: "l7",
  tlsCert: "/certs/git.pem",
  tlsKey: "/certs/git.key",
  backendProtocol: "h2",
  backendTls: false,
  backendCa: "",
  backendServerName: "",
  l7Policies: []
}

export const LISTENER: Listener = {
  addr: ":443",
  proxyProtocol: false,
  trustedProxies: [],
  maxConnections: 0,
  routes: [ROUTE]
}

export const SETTINGS: Settings["Service"] = {
  helloTimeoutMs: 10_000,
  helloBytesMax: 4096,
  connectTimeoutMs: 5000,
  handshakeTimeoutMs: 10_000,
  headerTimeoutMs: 30_000,
  responseTimeoutMs: 300_000,
  idleTimeoutMs: 300_000,
  halfCloseTimeoutMs: 30_000
}

export const CLIENT: SocketAddress = address("203.0.113.7", 5123)
export const LOCAL: SocketAddress = address("198.51.100.1", 443)
export const BACKEND: SocketAddress = address("192.0.2.10", 18443)

/** A ClientHello for `name`; without one it has no server name. */
export const hello = (name?: string): Uint8Array =>
  inRecords(clientHello({ extensions: name === undefined ? [] : [serverName(name)] }), [16384])

/** The bytes, cut where the cuts say; those beyond the end cut nothing. */
export const segments = (bytes: Uint8Array, cuts: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const ends = [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length]
  return ends.map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end))
}

/** No file of a certificate is there. */
export const NO_CERTIFICATES = Certificates.layerFrom(() =>
  Effect.fail([{ file: "certificate", message: "no such file" }])
)

/** What the pipeline runs on, and what it tells. */
export const layerWorld = (network: FakeNetwork, told: Told, options: WorldOptions) =>
  Layer.provideMerge(Layer.provide(Backends.layer, FileSystem.layerNoop({})), layerGrounds(network, told, options))

const layerGrounds = (network: FakeNetwork, told: Told, options: WorldOptions) =>
  Layer.mergeAll(
    Layer.succeed(AccessLog, {
      enabled: options.accessLog ?? true,
      connection: (entry) => void told.entries.push(entry),
      request: (entry) => void told.requests.push(entry)
    }),
    NO_CERTIFICATES,
    Connections.layer,
    ConnectionQuota.layer,
    Counters.layer,
    DescriptorBudget.layer(options.socketsMax ?? 12),
    Dialer.layer,
    layerGeoIp(options),
    Log.layer({ level: options.logLevel ?? "info", format: "text" }),
    RateLimiter.layer({ limit: options.rateLimit ?? 0, windowMs: 60_000 }),
    Layer.succeed(Settings, { ...SETTINGS, ...options.settings })
  ).pipe(Layer.provideMerge(Layer.mergeAll(Layer.succeed(Network, network.service), LogSink.layerMemory(told.lines))))

/** Does what the test says. */
const layerGeoIp = ({ country, reload }: WorldOptions) =>
  Layer.effect(
    GeoIp,
    Effect.map(GeoIp, (none) => GeoIp.of({ ...none, country: country ?? (() => ""), reload: reload ?? none.reload }))
  ).pipe(Layer.provide(GeoIp.layerTable(new Map())))

/** What was logged: an entry for each connection and each request that ended, and lines. */
export interface Told {
  readonly entries: Array<ConnectionEntry>
  readonly requests: Array<RequestEntry>
  readonly lines: Array<string>
}

/** A connection that is being served. */
export interface Connected {
  readonly live: LiveConnection
  readonly socket: FakeConnection
  readonly fiber: Fiber.Fiber<unknown>
}

export interface World extends Told {
  readonly network: FakeNetwork
  readonly connections: Connections["Service"]
  readonly counters: Counters["Service"]
  readonly budget: DescriptorBudget["Service"]
  readonly quota: ConnectionQuota["Service"]
  /** Those of the listener. */
  readonly listenerCounters: ListenerCounters
  /** Those that dials were answered with. */
  readonly backends: Array<FakeConnection>
  /** A client's connection that nobody serves yet. */
  open(ends?: Partial<Pick<FakeConnection, "peer" | "local">>): FakeConnection
  /** Serves it; before that, `meanwhile` happens. */
  accept(socket: FakeConnection, meanwhile?: (live: LiveConnection) => void): Connected
  /** `open` and `accept`, and then these bytes from the client. */
  connect(bytes?: Uint8Array, ends?: Partial<Pick<FakeConnection, "peer" | "local">>): Connected
  /** Answers the last dial with a connection; what is written to it is taken as `accepting` says, at once otherwise. */
  answerDial(accepting?: FakeConnection["accepting"]): FakeConnection
  /** Puts other rules in force, for the connections to come. */
  setRules(rules: ReadonlyArray<FirewallRule>): void
  /** What would be done with such a connection now. */
  explain(question: ConnectionQuestion): Effect.Effect<Explanation | undefined>
  /** What new connections are decided by, held weakly. */
  weakState(): ReadonlyArray<readonly [what: string, ref: WeakRef<object>]>
  /** How many more clients there is room for, by the budget and by the listener's quota. */
  room(): Record<"budget" | "quota", number>
}

export const makeWorld = Effect.fnUntraced(function* (
  options: WorldOptions = {}
): Effect.fn.Return<World, never, Scope.Scope> {
  const network = new FakeNetwork(yield* Clock.Clock)
  const told: Told = { entries: [], requests: [], lines: [] }
  const services = yield* Layer.build(layerWorld(network, told, options))
  const fork = Effect.runForkWith(Context.merge(yield* Effect.context<never>(), services))
  const connections = Context.get(services, Connections)
  const counters = Context.get(services, Counters)
  const budget = Context.get(services, DescriptorBudget)
  const quota = Context.get(services, ConnectionQuota)
  const listener = { ...LISTENER, ...options.listener }
  const run = Effect.runSyncWith(services)
  const resources = { counters, certificates: Context.get(services, Certificates) }
  const withRules = (firewallRules: ReadonlyArray<FirewallRule>) =>
    Effect.map(
      apply(NOTHING, 1, diff(EMPTY, { listeners: [listener], firewallRules }), resources),
      ({ state }) => state
    )
  let state = yield* Effect.provideContext(withRules(options.rules ?? []), services)
  // Only what connections have to do with is told.
  told.lines.length = 0

  const world: World = {
    ...told,
    network,
    connections,
    counters,
    budget,
    quota,
    backends: [],
    listenerCounters: counters.listener(listener.addr),
    open: (ends = {}) => new FakeConnection(network, "peer" in ends ? ends.peer : CLIENT, ends.local ?? LOCAL),
    accept: (socket, meanwhile) => {
      const live = connections.add(listener.addr, socket)
      world.listenerCounters.connectionsTotal++
      meanwhile?.(live)
      const fiber = fork(serve(live, state, state.listeners.get(listener.addr)!))
      fiber.addObserver(() => connections.remove(live))
      return { live, socket, fiber }
    },
    connect: (bytes, ends) => {
      const connected = world.accept(world.open(ends))
      if (bytes !== undefined) connected.socket.send(bytes)
      return connected
    },
    answerDial: (accepting = Effect.void) => {
      const backend = new FakeConnection(network, BACKEND, address("10.0.0.1", 40_000))
      backend.accepting = accepting
      world.backends.push(backend)
      network.dials.at(-1)!.answer(Effect.succeed(backend))
      return backend
    },
    setRules: (rules) => {
      state = run(withRules(rules))
    },
    explain: (question) => Effect.provideContext(explain(question, state), services),
    weakState: () => {
      const compiled = state.listeners.get(listener.addr)!
      const held = {
        state,
        firewall: state.firewall,
        compiled,
        listener: compiled.listener,
        trusted: compiled.trusted,
        routes: compiled.routes
      }
      return Object.entries(held).map(([what, object]) => [what, new WeakRef(object)] as const)
    },
    room: () => ({
      budget: roomIn(() => budget.take()),
      quota: roomIn(() =>
        quota.take(listener.addr, 100) ? { release: () => quota.release(listener.addr) } : undefined
      )
    })
  }
  return world
})

/** How the socket stood when its connection's place in the descriptor budget was given back. */
export const watchRelease = ({ budget }: World, socket: FakeConnection): { readonly end: string | undefined } => {
  const take = budget.take.bind(budget)
  const watched: { end: string | undefined } = { end: undefined }
  budget.take = () => {
    const place = take()
    if (place === undefined) return undefined
    const release = () => {
      watched.end = socket.end
      place.release()
    }
    return { ...place, release }
  }
  return watched
}

/** How often there is a place; all of them are given back. */
const roomIn = (take: () => { release(): void } | undefined): number => {
  const places: Array<{ release(): void }> = []
  for (let place = take(); place !== undefined; place = take()) places.push(place)
  for (const place of places) place.release()
  return places.length
}

/** Holds `body` against drawn values, each in a scope of its own. */
export const forAll = Effect.fnUntraced(function* <A>(
  values: fc.Arbitrary<A>,
  numRuns: number,
  body: (value: A) => Effect.Effect<void, never, Scope.Scope>
) {
  const run = Effect.runPromiseWith(yield* Effect.context<never>())
  const property = fc.asyncProperty(values, (value) => run(Effect.scoped(body(value))))
  yield* Effect.promise(() => fc.assert(property, { numRuns }))
})

/** The outcomes counted on the listener so far. */
export const closedOf = ({ listenerCounters }: World): Partial<Record<Outcome, number>> =>
  Object.fromEntries(Object.entries(listenerCounters.closed).filter(([, count]) => count > 0))

/** What is logged of a client that got nowhere, with these differences. */
export const entryOf = (
  { live, socket }: Connected,
  differences: Partial<ConnectionEntry> & Pick<ConnectionEntry, "outcome">
): ConnectionEntry => ({
  time: live.openedAt + (differences.durationMs ?? 0),
  id: live.id,
  listener: live.listener,
  client: formatSocketAddress(socket.peer!),
  peer: formatSocketAddress(socket.peer!),
  country: "",
  hostname: "",
  backend: "",
  mode: "",
  rule: "",
  fromClient: 0,
  fromBackend: 0,
  durationMs: 0,
  dialMs: undefined,
  ...differences
})

/** The connection has ended, as that, and its socket with it. */
export const assertOutcome = (world: World, { live, socket }: Connected, outcome: Outcome): void => {
  assert.deepStrictEqual(
    world.entries.filter(({ id }) => id === live.id).map((entry) => entry.outcome),
    [outcome]
  )
  assert.strictEqual(socket.end, outcome === "done" ? "closed" : "reset")
  assert.isUndefined(world.connections.get(live.id))
}

/** The connection has not ended. */
export const assertServing = (world: World, { live, socket }: Connected): void => {
  assert.strictEqual(world.connections.get(live.id), live)
  assert.strictEqual(socket.end, "open")
}

/** Whatever connections there were, they have given everything back. */
export const assertNothingHeld = (world: World, roomBefore: ReturnType<World["room"]>): void => {
  assert.strictEqual(world.connections.size, 0)
  assert.strictEqual(world.listenerCounters.active, 0)
  assert.strictEqual(world.network.waiting, 0)
  assert.notInclude(
    world.backends.map(({ end }) => end),
    "open"
  )
  assert.deepStrictEqual(world.room(), roomBefore)
}
