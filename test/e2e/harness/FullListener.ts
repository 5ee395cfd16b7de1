/**
 * A backend that never answers a SYN: its accept queue is full, and nobody takes from it.
 *
 * It listens in a thread whose event loop is blocked for good, so that Node accepts nothing. Linux drops a SYN when the
 * queue is full (tcp(7), `tcp_abort_on_overflow`).
 */
import { Effect, type Scope } from "effect"
import { Worker } from "node:worker_threads"
import { connect } from "./Wire.ts"
import { within } from "./Watch.ts"

/** Its `ip:port`. */
export const startFullListener: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function* () {
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(SOURCE, { eval: true, workerData: QUEUE_MAX })),
    (worker) => Effect.promise(() => worker.terminate())
  )
  const address = yield* Effect.callback<string>((resume) => {
    worker.once("message", (bound: string) => resume(Effect.succeed(bound)))
    worker.once("error", (error) => resume(Effect.die(error)))
  }).pipe(within("a listener that does not accept"))
  // The kernel holds one more than it is asked to.
  for (let i = 0; i <= QUEUE_MAX; i++) yield* Effect.orDie(connect(address))
  return address
})

const QUEUE_MAX = 1

const SOURCE = `
  const { parentPort, workerData } = require("node:worker_threads")
  const server = require("node:net").createServer().listen({ host: "127.0.0.1", port: 0, backlog: workerData }, () => {
    parentPort.postMessage("127.0.0.1:" + server.address().port)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })`
