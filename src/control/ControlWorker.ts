/** The control plane's thread: the store, write-through and the admin API, on the main thread's data plane. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { RpcClient } from "effect/rpc"
import { workerData } from "node:worker_threads"
import * as AdminOperations from "../admin/AdminOperations.ts"
import * as AdminServer from "../admin/AdminServer.ts"
import { AdminSettings } from "../admin/AdminSettings.ts"
import { checkFree } from "../admin/AdminSocket.ts"
import { coalescingWarnings } from "../config/Coalescing.ts"
import * as Log from "../observe/Log.ts"
import { LogSink } from "../observe/LogSink.ts"
import { ControlPlane } from "./ControlPlane.ts"
import type { ControlData } from "./ControlThread.ts"
import { Drain } from "./Drain.ts"
import { FollowerRpcs } from "./FollowerRpcs.ts"
import * as PortProtocol from "./PortProtocol.ts"
import * as RemoteFollower from "./RemoteFollower.ts"
import * as StoredState from "./StoredState.ts"
import { giveWay } from "./ThreadPriority.ts"

giveWay()

/** Written by ControlThread.ts. */
const { config, file, follower, log, version } = workerData as ControlData

const layerAdmin = (path: string) =>
  AdminServer.layer({ path }).pipe(
    Layer.provide(AdminOperations.layer),
    Layer.provide(
      Layer.succeed(AdminSettings, { database: config.database.path, geoipDb: config.firewall.geoipDb, version })
    )
  )

/** What is first here is closed first: nobody is answered by a control plane that has ended. */
const layerControl = (config.grpc === undefined ? Layer.empty : layerAdmin(config.grpc.addr)).pipe(
  Layer.provideMerge(ControlPlane.layer),
  Layer.provideMerge(StoredState.layer(file, config))
)

const start = Effect.andThen(
  config.grpc === undefined ? Effect.void : checkFree(config.grpc.addr),
  Layer.build(layerControl)
)

/** Once the proxy serves: nobody waits for thousands of certificates to be read for a warning. */
const warnOfCoalescing = Effect.gen(function* () {
  const { listeners } = (yield* ControlPlane).current.state.toState()
  yield* StoredState.warnOfAll(
    yield* coalescingWarnings(listeners),
    (more) => `${more} more hostnames are covered by the certificate of another route`
  )
})

/** Starts, tells the main thread how that went, and ends when it says so. Nobody collects this thread's spans. */
const program = Effect.gen(function* () {
  const main = yield* RpcClient.make(FollowerRpcs)
  const drain = yield* Drain
  yield* Effect.forkScoped(Effect.andThen(main.awaitDrain(), drain.begin))
  yield* Effect.matchEffect(start, {
    onFailure: ({ message }) => main.failed({ message }),
    onSuccess: (services) =>
      main
        .started()
        .pipe(
          Effect.andThen(Effect.forkScoped(Effect.provideContext(warnOfCoalescing, services))),
          Effect.andThen(main.awaitStop())
        )
  })
}).pipe(Effect.scoped, Effect.withTracerEnabled(false))

const layerLog = Log.layer(config.log).pipe(
  Layer.provide(Layer.succeed(LogSink, { write: (line) => log.postMessage(line), dropped: 0 }))
)

const layerThread = Layer.mergeAll(RemoteFollower.layer, Drain.layer, NodeServices.layer).pipe(
  Layer.provideMerge(PortProtocol.layerClient(follower)),
  Layer.provideMerge(layerLog)
)

NodeRuntime.runMain(Effect.provide(program, layerThread), { disableErrorReporting: true })
