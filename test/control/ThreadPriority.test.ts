import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { getPriority } from "node:os"
import { Worker } from "node:worker_threads"
import { NICENESS } from "../../src/control/ThreadPriority.ts"

/** Tells its own priority, and that of a thread that it starts, when it has given way. */
const program = `
  const { getPriority } = require("node:os")
  const { parentPort, Worker } = require("node:worker_threads")
  const child = 'require("node:worker_threads").parentPort.postMessage(require("node:os").getPriority(0))'
  import(${JSON.stringify(new URL("../../src/control/ThreadPriority.ts", import.meta.url).href)}).then(({ giveWay }) => {
    giveWay()
    new Worker(child, { eval: true }).once("message", (its) => parentPort.postMessage([getPriority(0), its]))
  })`

const Priorities = Schema.Tuple([Schema.Int, Schema.Int])

it.live.runIf(process.platform === "linux")("a thread that gives way does so with its own threads, and no other", () =>
  Effect.gen(function* () {
    const before = getPriority(0)
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(program, { eval: true })),
      (worker) => Effect.promise(() => worker.terminate())
    )
    const told = yield* Effect.callback<unknown>((resume) => {
      worker.once("message", (message) => resume(Effect.succeed(message)))
      worker.once("error", (error) => resume(Effect.die(error)))
    })
    const [its, childs] = yield* Schema.decodeUnknownEffect(Priorities)(told)
    assert.strictEqual(its, Math.min(before + NICENESS, 19))
    assert.strictEqual(childs, its)
    assert.strictEqual(getPriority(0), before)
  })
)
