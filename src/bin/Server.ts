/** `mc-proxy server`: the configuration, the layers it asks for, and the program on them. */
import { Effect, Layer, Queue } from "effect"
import { loadConfig, type Config } from "../config/Config.ts"
import { ConfigError } from "../config/ConfigError.ts"
import * as ControlThread from "../control/ControlThread.ts"
import { Drain } from "../control/Drain.ts"
import { GeoIp } from "../firewall/GeoIp.ts"
import { RateLimiter } from "../firewall/RateLimiter.ts"
import { Backends } from "../l7/backend/Backends.ts"
import { LiveView } from "../metrics/LiveView.ts"
import { Metrics } from "../metrics/Metrics.ts"
import * as MetricsServer from "../metrics/MetricsServer.ts"
import { DescriptorBudget } from "../net/DescriptorBudget.ts"
import { Dialer } from "../net/Dialer.ts"
import * as NodeNetwork from "../net/node/NodeNetwork.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { AccessLog } from "../observe/AccessLog.ts"
import { Counters } from "../observe/Counters.ts"
import * as Log from "../observe/Log.ts"
import { LogSink } from "../observe/LogSink.ts"
import * as Tracing from "../observe/Tracing.ts"
import { Settings } from "../pipeline/Settings.ts"
import { ConnectionQuota } from "../pipeline/ConnectionQuota.ts"
import { Connections } from "../server/Connections.ts"
import { DataPlane } from "../server/DataPlane.ts"
import * as LocalFollower from "../server/LocalFollower.ts"
import * as Server from "../server/Server.ts"
import { Signals } from "../server/Signals.ts"
import { Certificates } from "../tls/Certificates.ts"
import { checkOpenFiles, socketsMax } from "./OpenFiles.ts"
import { version } from "./Version.ts"

/** Runs until a signal stops it. */
export const server = Effect.fn("server")(function* (file: string) {
  const config = yield* loadConfig(file, process.env)
  yield* serve(file, config, () => Effect.void)
})

/** Runs the proxy that `config`, read from `file`, asks for; `onReady` is told where its listeners are. */
export const serve = Effect.fn("serve")(function* <E, R>(
  file: string,
  config: Config,
  onReady: (bound: ReadonlyMap<string, SocketAddress>) => Effect.Effect<void, E, R>
) {
  yield* checkOpenFiles
  const { shutdownTimeoutMs } = config.proxy
  const running = Effect.gen(function* () {
    for (const warning of config.warnings) yield* Effect.logWarning(warning)
    // Ahead of everything, so that who cannot have its address has not served anyone.
    yield* serveMetrics(file, config)
    const signals = yield* Signals
    const control = yield* ControlThread.start({ file, config, version }, Queue.take(signals.stop))
    yield* Server.run({ shutdownTimeoutMs, onReady, controlEnded: control.ended })
  }).pipe(Effect.scoped)
  yield* Effect.provide(running, Layer.provideMerge(layerProxy(config), layerLog(config)))
})

const serveMetrics = Effect.fnUntraced(function* (file: string, { metrics }: Config) {
  if (metrics === undefined) return
  const layer = metrics.dashboard
    ? Layer.merge(Metrics.layer(version), LiveView.layer(version))
    : Metrics.layer(version)
  const services = yield* Layer.build(layer)
  yield* MetricsServer.serve(metrics).pipe(
    Effect.provideContext(services),
    Effect.mapError(({ message }) => new ConfigError({ file, problems: [{ path: "metrics.addr", message }] }))
  )
})

const layerLog = ({ log }: Config) => Log.layer(log).pipe(Layer.provideMerge(LogSink.layer(log.format)))

/** Everything the proxy runs on; what it opens is closed in the opposite order. */
const layerProxy = (config: Config) =>
  LocalFollower.layer.pipe(
    Layer.provideMerge(DataPlane.layer),
    Layer.provideMerge(Connections.layer),
    Layer.provideMerge(layerPipeline(config)),
    Layer.provideMerge(Layer.mergeAll(Counters.layer, Drain.layer, Signals.layer))
  )

/** What the pipeline's stages ask for. */
const layerPipeline = (config: Config) => Layer.provideMerge(Backends.layer, layerGrounds(config))

const layerGrounds = ({ firewall, log, proxy, tracing }: Config) =>
  Layer.mergeAll(
    tracing === undefined ? Layer.empty : Tracing.layerOtlp(tracing.otlpEndpoint, version),
    Layer.succeed(Settings, proxy),
    ConnectionQuota.layer,
    Certificates.layer,
    DescriptorBudget.layer(socketsMax()),
    GeoIp.layer(firewall.geoipDb),
    RateLimiter.layer({ limit: firewall.rateLimit, windowMs: firewall.rateWindowMs }),
    log.access ? AccessLog.layer(log.format) : AccessLog.layerNoop,
    Dialer.layer
  ).pipe(Layer.provideMerge(NodeNetwork.layer))
