import { assert, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { connect as connectSocket, type Socket } from "node:net"
import { hello } from "../harness/Hello.ts"
import { startProxy } from "../harness/Proxy.ts"
import { Watch } from "../harness/Watch.ts"
import { splitAddress } from "../harness/Wire.ts"
import { cpuMsOf, eventually, residentBytesOf } from "./ProcessState.ts"
import { startTcpServer } from "./TcpServer.ts"

const PAIRS = 100

/** Read of each connection at first, so that the proxy is as large as traffic makes it: garbage is most of that. */
const WARM_UP_BYTES = 2 * 1024 * 1024

/** By so much it may grow from then on, for the 100 connections together; what they are sent is endless. */
const GROWTH_BYTES_MAX = 64 * 1024 * 1024

/** Each test moves more than a gigabyte. */
const TEST_TIMEOUT = 60_000

/** Each reader that has stopped reads on so many times, so much, and stops again. */
const WAKES = 3
const WAKE_BYTES = 1024 * 1024

it.live(
  "stays small while 100 backends stop reading what their clients send without end",
  () => stall("client"),
  TEST_TIMEOUT
)

it.live(
  "stays small while 100 clients stop reading what their backends send without end",
  () => stall("backend"),
  TEST_TIMEOUT
)

const stall = Effect.fnUntraced(function* (sender: "client" | "backend") {
  const senders = new Senders()
  const readers = new Readers()
  const backend = yield* startTcpServer((socket) => (sender === "client" ? readers : senders).add(socket))
  const proxy = yield* startProxy({ listeners: [{ routes: [{ hostname: "a.test", backend }] }] })
  const { pid } = proxy.program
  for (let i = 0; i < PAIRS; i++) {
    const client = yield* open(proxy.address)
    client.write(hello("a.test"))
    ;(sender === "client" ? senders : readers).add(client)
  }
  yield* readers.readOn(WARM_UP_BYTES)

  const before = residentBytesOf(pid)
  const checkMemory = () => assert.isAtMost(residentBytesOf(pid) - before, GROWTH_BYTES_MAX)
  yield* heldUp(senders, pid, checkMemory)
  const sent = senders.bytes
  for (let wake = 1; wake <= WAKES; wake++) {
    yield* readers.readOn(WAKE_BYTES)
    yield* heldUp(senders, pid, checkMemory)
  }
  // What the readers have read made room for as much, but for what the kernel's windows round off.
  assert.isAtLeast(senders.bytes - sent, (WAKES * WAKE_BYTES * PAIRS) / 2)
})

/** Waits until nothing more is accepted of the senders, though the proxy has nothing left to do; checks meanwhile. */
const heldUp = (senders: Senders, pid: number, check: () => void) => {
  let last = ""
  let alike = 0
  const read = () => {
    check()
    const now = `${senders.bytes} bytes sent, ${cpuMsOf(pid)} ms of CPU time`
    alike = now === last ? alike + 1 : 0
    last = now
    return alike
  }
  return eventually("the senders to be held up", read, (alike) => alike === ALIKE)
}

/** So many samples in a row, for on a busy machine neither side may run between two. */
const ALIKE = 5

/** Sockets that are written to without end, each as fast as it takes it. */
class Senders {
  /** What the kernel has accepted of them all. */
  bytes = 0

  add(socket: Socket): void {
    socket.resume()
    const send = (error?: Error | null) => {
      if (error) return
      this.bytes += CHUNK.length
      socket.write(CHUNK, send)
    }
    socket.write(CHUNK, send)
  }
}

const CHUNK = Buffer.alloc(64 * 1024)

/** Sockets that are read only when told to. */
class Readers {
  readonly #sockets: Array<Socket> = []
  readonly #watch = new Watch()
  #wanted = 0
  #behind = 0

  add(socket: Socket): void {
    this.#sockets.push(socket)
    let read = 0
    socket.on("data", (chunk: Buffer) => {
      read += chunk.length
      if (read < this.#wanted) return
      if (!socket.isPaused()) this.#behind--
      socket.pause()
      this.#watch.notify()
    })
    if (this.#wanted === 0) socket.pause()
  }

  /** Each of all the pairs reads so many bytes more, and stops. */
  readOn(bytes: number): Effect.Effect<unknown> {
    return Effect.suspend(() => {
      this.#wanted += bytes
      this.#behind = PAIRS
      for (const socket of this.#sockets) socket.resume()
      return this.#watch.until("every reader to have read", () => this.#behind === 0 || undefined)
    })
  }
}

const open = (address: string): Effect.Effect<Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connectSocket({ ...splitAddress(address), noDelay: true }, () => resume(Effect.succeed(socket)))
      socket.on("error", () => socket.destroy())
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
