/** A thread of a test's own, which starts a store as its own child, commits once, and tells the revisions it saw. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { parentPort, workerData } from "node:worker_threads"
import { EMPTY } from "../../src/snapshot/Change.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store } from "../../src/store/Store.ts"

const commitOnce = Effect.gen(function* () {
  const store = yield* Store
  const { revision } = yield* store.load
  const next = yield* store.commit(revision, [[{ _tag: "PutRules", rules: [{ type: "ip", value: "192.0.2.1" }] }]])
  parentPort?.postMessage([revision, next])
})

const layer = SqliteStore.layer({
  file: String(workerData),
  seed: EMPTY,
  beforeSeeding: Effect.void,
  onStored: () => Effect.void
})

NodeRuntime.runMain(Effect.provide(commitOnce, Layer.provide(layer, NodeServices.layer)))
