/**
 * The whole proxy in one thread: both planes and the server around them, on whatever `Network` is provided, with a disk
 * that is simulated.
 *
 * Everything between network and disk is what runs in production, and each service of it can be replaced. The layer's
 * scope is the process: when it closes, the proxy is interrupted wherever it is.
 */
import { createSecureContext } from "node:tls"
import { Context, Deferred, Effect, Layer, Path, Queue } from "effect"
import { adminOperations } from "../admin/AdminOperations.ts"
import { AdminSettings } from "../admin/AdminSettings.ts"
import type { BindFailed } from "../control/Follower.ts"
import { ControlPlane } from "../control/ControlPlane.ts"
import { Drain } from "../control/Drain.ts"
import { GeoIp } from "../firewall/GeoIp.ts"
import { RateLimiter, type RateLimit } from "../firewall/RateLimiter.ts"
import { DescriptorBudget } from "../net/DescriptorBudget.ts"
import { Backends } from "../l7/backend/Backends.ts"
import { Dialer } from "../net/Dialer.ts"
import type { Network } from "../net/Network.ts"
import { AccessLog, type ConnectionEntry, type RequestEntry } from "../observe/AccessLog.ts"
import { Counters } from "../observe/Counters.ts"
import * as Log from "../observe/Log.ts"
import { LogSink } from "../observe/LogSink.ts"
import { ConnectionQuota } from "../pipeline/ConnectionQuota.ts"
import { Settings } from "../pipeline/Settings.ts"
import { Connections } from "../server/Connections.ts"
import { DataPlane } from "../server/DataPlane.ts"
import * as LocalFollower from "../server/LocalFollower.ts"
import { run } from "../server/Server.ts"
import { Signals } from "../server/Signals.ts"
import type { DatabaseError } from "../store/DatabaseError.ts"
import type { SimStore } from "../store/SimStore.ts"
import { Store } from "../store/Store.ts"
import { Certificates } from "../tls/Certificates.ts"
import { layerFiles } from "./SimFiles.ts"

/** The operations of the admin API, by name. */
export type SimAdmin = Effect.Success<typeof adminOperations>

export interface SimProxyOptions {
  readonly disk: SimStore
  readonly settings?: Partial<Settings["Service"]>
  /** The descriptor budget. */
  readonly socketsMax?: number
  readonly shutdownTimeoutMs?: number
  readonly rateLimit?: RateLimit
  /** By canonical address. */
  readonly countries?: ReadonlyMap<string, string>
  /** What the files of its machine hold, by path: those that L7 routes name have to be there for the admin API. */
  readonly files?: ReadonlyMap<string, string>
  /** Is given each connection's line of the access log. */
  readonly onConnection?: (entry: ConnectionEntry) => void
  /** Is given each request's. */
  readonly onRequest?: (entry: RequestEntry) => void
  /** Is given each line of the log; those of level `info` and above. */
  readonly onLog?: (line: string) => void
  /** Services in the place of the proxy's own: those of `Replaceable`, any of them. */
  readonly replace?: Layer.Layer<never, never, Network | Replaceable>
}

/** What a connection is decided and carried by. A layer that replaces one may ask for the others, and for the original. */
export type Replaceable =
  AccessLog | Certificates | ConnectionQuota | Counters | DescriptorBudget | Dialer | GeoIp | RateLimiter | Settings

/** What can be asked of a running proxy besides `SimProxy`. */
export type SimProxyServices = ControlPlane | DataPlane | Connections | Drain | Replaceable

export class SimProxy extends Context.Service<
  SimProxy,
  {
    /** What the admin socket offers, without the socket. */
    readonly admin: SimAdmin
    readonly disk: SimStore
    /** SIGTERM; a second one ends draining. */
    terminate(): void
    /** SIGHUP. */
    hangUp(): void
    /** Completes when the proxy has stopped by itself. */
    readonly stopped: Effect.Effect<void>
  }
>()("mc-proxy/testing/SimProxy") {
  static readonly layer = (
    options: SimProxyOptions
  ): Layer.Layer<SimProxy | SimProxyServices, DatabaseError | BindFailed, Network> =>
    Layer.effect(SimProxy, make(options.disk, options.shutdownTimeoutMs ?? 30_000)).pipe(
      Layer.provideMerge(ControlPlane.layer),
      Layer.provide(Layer.merge(layerStore(options.disk), layerAdmin(options))),
      Layer.provideMerge(Layer.merge(Drain.layer, LocalFollower.layer)),
      Layer.provideMerge(DataPlane.layer),
      Layer.provideMerge(Connections.layer),
      Layer.provideMerge(layerReplaced(options)),
      Layer.provide(layerLog(options.onLog))
    )
}

const make = Effect.fnUntraced(function* (disk: SimStore, shutdownTimeoutMs: number) {
  const stop = yield* Queue.unbounded<"SIGINT" | "SIGTERM">()
  const reload = yield* Queue.sliding<"SIGHUP">(1)
  const stopped = yield* Deferred.make<void>()
  const admin = yield* adminOperations
  const server = run({ shutdownTimeoutMs, onReady: () => Effect.void, controlEnded: Effect.never })
  yield* Effect.forkScoped(
    server.pipe(
      Effect.provideService(Signals, { stop, reload, defect: Effect.never }),
      Effect.andThen(Deferred.succeed(stopped, undefined))
    )
  )
  return SimProxy.of({
    admin,
    disk,
    terminate: () => void Queue.offerUnsafe(stop, "SIGTERM"),
    hangUp: () => void Queue.offerUnsafe(reload, "SIGHUP"),
    stopped: Deferred.await(stopped)
  })
})

const layerReplaced = (options: SimProxyOptions): Layer.Layer<Replaceable | Backends, never, Network> => {
  const { replace } = options
  const own = layerReplaceable(options)
  const replaced = replace === undefined ? own : Layer.provideMerge(replace, own)
  return Layer.provideMerge(Layer.provide(Backends.layer, layerFiles(options.files)), replaced)
}

const layerReplaceable = ({
  countries = new Map(),
  onConnection = () => {},
  onRequest = () => {},
  rateLimit = { limit: 0, windowMs: 60_000 },
  settings,
  socketsMax = 1000
}: SimProxyOptions) =>
  Layer.mergeAll(
    layerCertificates,
    ConnectionQuota.layer,
    Counters.layer,
    DescriptorBudget.layer(socketsMax),
    Dialer.layer,
    GeoIp.layerTable(countries),
    RateLimiter.layer(rateLimit),
    Layer.succeed(AccessLog, { enabled: true, connection: onConnection, request: onRequest }),
    Layer.succeed(Settings, { ...DEFAULT_SETTINGS, ...settings })
  )

/** Every route has one that nothing is proved by: the simulated network only passes names on. */
const layerCertificates = Certificates.layerFrom(() =>
  Effect.sync(() => ({ context: createSecureContext(), notAfter: Number.MAX_SAFE_INTEGER }))
)

/** As a configuration file has them that says nothing. */
const DEFAULT_SETTINGS: Settings["Service"] = {
  helloTimeoutMs: 10_000,
  helloBytesMax: 65_536,
  connectTimeoutMs: 5_000,
  handshakeTimeoutMs: 10_000,
  headerTimeoutMs: 30_000,
  responseTimeoutMs: 300_000,
  idleTimeoutMs: 300_000,
  halfCloseTimeoutMs: 30_000
}

const layerStore = (disk: SimStore) =>
  Layer.effect(
    Store,
    Effect.sync(() => disk.open())
  )

/** A path to a GeoIP database is what lets rules by country in; the table of countries is in its place. */
const layerAdmin = ({ files }: SimProxyOptions) =>
  Layer.mergeAll(
    Layer.succeed(AdminSettings, { database: "simulated.db", geoipDb: "simulated.mmdb", version: "simulated" }),
    layerFiles(files),
    Path.layer
  )

const layerLog = (onLog: (line: string) => void = () => {}) =>
  Log.layer({ level: "info", format: "text" }).pipe(
    Layer.provide(Layer.succeed(LogSink, LogSink.of({ write: onLog, dropped: 0 })))
  )
