/** The control plane's thread: the store, write-through and the admin API, on the main thread's data plane. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { RpcClient } from "effect/rpc"
import { workerData } from "node:worker_threads"
import * as Log from "../observe/Log.ts"
import { LogSink } from "../observe/LogSink.ts"
import { ControlPlane } from "./ControlPlane.ts"
import type { ControlData } from "./ControlThread.ts"
import { Drain } from "./Drain.ts"
import { FollowerRpcs } from "./FollowerRpcs.ts"
import * as PortProtocol from "./PortProtocol.ts"
import * as RemoteFollower from "./RemoteFollower.ts"
import * as StoredState from "./StoredState.ts"

/** Written by ControlThread.ts. */
const { config, file, follower, log } = workerData as ControlData

const layerControl = ControlPlane.layer.pipe(Layer.provideMerge(StoredState.layer(file, config)))

/** Starts, tells the main thread how that went, and ends when it says so. */
const program = Effect.gen(function* () {
  const main = yield* RpcClient.make(FollowerRpcs)
  const drain = yield* Drain
  yield* Effect.forkScoped(Effect.andThen(main.awaitDrain(), drain.begin))
  yield* Effect.matchEffect(Layer.build(layerControl), {
    onFailure: ({ message }) => main.failed({ message }),
    onSuccess: () => Effect.andThen(main.started(), main.awaitStop())
  })
}).pipe(Effect.scoped)

const layerLog = Log.layer(config.log).pipe(
  Layer.provide(Layer.succeed(LogSink, { write: (line) => log.postMessage(line), dropped: 0 }))
)

const layerThread = Layer.mergeAll(RemoteFollower.layer, Drain.layer, NodeServices.layer).pipe(
  Layer.provideMerge(PortProtocol.layerClient(follower)),
  Layer.provideMerge(layerLog)
)

NodeRuntime.runMain(Effect.provide(program, layerThread), { disableErrorReporting: true })
