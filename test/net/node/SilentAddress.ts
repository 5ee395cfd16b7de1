/**
 * An address of this machine that answers no dial: a listener that never accepts, its queue filled up, so that the
 * kernel drops every further SYN.
 */
import { Effect, Queue } from "effect"
import { connect, type Socket } from "node:net"
import { Worker } from "node:worker_threads"
import { parseIpAddress } from "../../../src/net/IpAddress.ts"
import type { SocketAddress } from "../../../src/net/SocketAddress.ts"

/** Listens and then never lets go of its thread. */
const LISTENER = `
const { parentPort } = require("node:worker_threads")
const server = require("node:net").createServer().listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => {
  parentPort.postMessage(server.address().port)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})`

/** The kernel takes one connection more than the backlog says. */
const QUEUE_LENGTH = 2

export const silentAddress = Effect.gen(function* () {
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(LISTENER, { eval: true })),
    (worker) => Effect.promise(() => worker.terminate())
  )
  const port = yield* Effect.callback<number>((resume) => {
    worker.once("message", (port: number) => resume(Effect.succeed(port)))
  })
  const queued = yield* Queue.unbounded<Socket>()
  for (let i = 0; i < QUEUE_LENGTH; i++) {
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const socket = connect(port, "127.0.0.1", () => Queue.offerUnsafe(queued, socket))
        return socket.on("error", () => {})
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )
  }
  yield* Queue.takeN(queued, QUEUE_LENGTH)
  return { ip: parseIpAddress("127.0.0.1")!, port } satisfies SocketAddress
})
