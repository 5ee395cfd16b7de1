/**
 * The probe's process: connects through the proxy at a steady pace, whether those before are answered or not, and
 * notes how long each waits for the first byte of the backend, which is here, too.
 */
import { Schema } from "effect"
import { once } from "node:events"
import { connect, createServer } from "node:net"
import { ProbeRequest, type ProbeAnswer } from "./AdminProtocol.ts"
import { captureHello } from "./CapturedHello.ts"
import { followParent, tellParent } from "./Forked.ts"
import { PROBE_HOSTNAME } from "./ManyRules.ts"
import { quantile } from "./Statistics.ts"

/** Short beside the delays that are looked for, and no load. */
const PACE_MS = 2

/** Connects until `done`, which answers what came of it. */
const probe = (port: number, hello: Uint8Array) => {
  const waits: Array<number> = []
  let open = 0
  let lateMs = 0
  let dueAt = performance.now() + PACE_MS
  const connectOnce = () => {
    open++
    const startedAt = performance.now()
    lateMs = Math.max(lateMs, startedAt - dueAt)
    dueAt = startedAt + PACE_MS
    const socket = connect({ host: "127.0.0.1", port, noDelay: true })
    socket.write(hello)
    let waited: number | undefined
    socket.once("data", () => {
      waited = performance.now() - startedAt
      socket.end()
    })
    socket.once("close", () => {
      open--
      // An exception ends this process, and the bench with it, as an error of the socket's does.
      if (waited === undefined) throw new Error("a connection was closed without an answer")
      waits.push(waited)
    })
  }
  const timer = setInterval(connectOnce, PACE_MS)
  return async (): Promise<ProbeAnswer> => {
    clearInterval(timer)
    while (open > 0) await new Promise((resolve) => setTimeout(resolve, PACE_MS))
    return {
      connections: waits.length,
      p50Ms: quantile(waits, 0.5),
      p99Ms: quantile(waits, 0.99),
      worstMs: quantile(waits, 1),
      lateMs
    }
  }
}

const backend = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => {})
  socket.once("data", () => socket.end("m"))
})
backend.listen({ host: "127.0.0.1", port: 0, backlog: 1024 })
await once(backend, "listening")
const address = backend.address()
if (address === null || typeof address === "string") throw new Error("a TCP listener has no address")
const hello = await captureHello(PROBE_HOSTNAME)
let stop: (() => Promise<ProbeAnswer>) | undefined

const answer = async (message: unknown): Promise<void> => {
  const request = Schema.decodeUnknownSync(ProbeRequest)(message)
  if (request._tag === "Start") stop = probe(request.port, hello)
  else if (stop !== undefined) tellParent(await stop())
}

followParent()
process.on("message", (message) => void answer(message))
tellParent({ backend: `127.0.0.1:${address.port}` })
