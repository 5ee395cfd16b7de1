/** The client's process: runs the workload it is asked for against a subject's port, and says what it measured. */
import { Schema } from "effect"
import { connect } from "node:net"
import { captureHello } from "./CapturedHello.ts"
import { followParent, tellParent } from "./Forked.ts"
import { Request, type Answer } from "./Protocol.ts"
import { quantile } from "./Statistics.ts"
import { workloads, type OpenConnection, type Workload } from "./Workload.ts"

/** One for all connections: what comes is counted and not kept. */
const readBuffer = Buffer.alloc(64 * 1024)

const opener =
  (port: number, hello: Uint8Array): OpenConnection =>
  (sink) => {
    const socket = connect({
      host: "127.0.0.1",
      port,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (count, buffer) => {
          sink(buffer.subarray(0, count))
          return true
        }
      }
    })
    socket.write(hello)
    return socket
  }

const run = async ({ drive, hostname }: Workload, { operations, port }: Request): Promise<Answer> => {
  const open = opener(port, await captureHello(hostname))
  const startedAt = performance.now()
  const durations = await drive(open, operations)
  const wallMs = performance.now() - startedAt
  return { wallMs, p50Ms: quantile(durations, 0.5), p99Ms: quantile(durations, 0.99) }
}

/** A failure is thrown: it ends the process, and the bench with it. */
const answer = async (message: unknown): Promise<void> => {
  const request = Schema.decodeUnknownSync(Request)(message)
  const workload = workloads.find(({ name }) => name === request.workload)
  if (workload === undefined) throw new Error(`no workload ${request.workload}`)
  tellParent(await run(workload, request))
}

followParent()
process.on("message", (message) => void answer(message))
