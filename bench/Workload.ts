/**
 * The workloads: what the client asks for, what the backend answers, and what a subject's CPU is divided by.
 *
 * Both halves of a workload stand here side by side; the processes that run them (Client.ts, Backend.ts) know none in
 * particular. Another workload is another entry in `workloads`. Every connection opens with a real ClientHello, and
 * every byte that has to come back is counted, so that a subject that loses one fails instead of winning.
 */
import type { Socket } from "node:net"

export interface Workload {
  readonly name: string
  readonly description: string
  /** The name in the ClientHello; each workload has its own backend. */
  readonly hostname: string
  /** How many connections or exchanges a round has. */
  readonly operations: number
  readonly unit: Unit
  readonly limit?: Limit
  /** The backend's half: serves one connection. */
  readonly answer: (socket: Socket) => void
  /** The client's half: returns how long each operation took, in milliseconds. */
  readonly drive: (open: OpenConnection, operations: number) => Promise<ReadonlyArray<number>>
}

/** What CPU time and throughput are counted by. */
export interface Unit {
  readonly name: string
  readonly perOperation: number
  /** The scale of the CPU column. */
  readonly cpu: { readonly name: string; readonly seconds: number }
}

/** How much CPU `mc-proxy`, its access log off, may take for each unit, as a multiple of the bare relay's. */
export interface Limit {
  readonly ratioMax: number
  /** What we want beyond the limit, where we want more. */
  readonly ratioAim?: number
}

/** Connects to the subject and sends the hello. The sink sees everything that comes; the buffer is used again. */
export type OpenConnection = (sink: (bytes: Uint8Array) => void) => Socket

/** `backend → client` downloads: a connection is the hello, `bytes` back, and the end of both ways. */
const download = (bytes: number, atOnce: number): Pick<Workload, "answer" | "drive"> => ({
  answer: (socket) => {
    socket.once("data", () => send(socket, bytes))
    socket.resume()
  },
  drive: async (open, operations) => {
    const durations: Array<number> = []
    let left = operations
    const lane = async () => {
      while (left-- > 0) durations.push(await receive(open, bytes))
    }
    await Promise.all(Array.from({ length: Math.min(atOnce, operations) }, lane))
    return durations
  }
})

/** Round trips on one connection, one at a time. The backend echoes everything, the hello first. */
const echo = (bytes: number): Pick<Workload, "answer" | "drive"> => ({
  answer: (socket) => {
    socket.pipe(socket)
  },
  drive: (open, operations) =>
    new Promise((resolve, reject) => {
      const durations: Array<number> = []
      const message = Buffer.alloc(bytes, "m")
      let awaited = 0
      let startedAt = performance.now()
      const socket = open(({ length }) => {
        awaited -= length
        if (awaited > 0) return
        const now = performance.now()
        durations.push(now - startedAt)
        // The first is the hello's, with the backend's connection in it.
        if (durations.length > operations) {
          socket.end()
          return
        }
        startedAt = now
        awaited = bytes
        socket.write(message)
      })
      awaited = socket.writableLength
      socket.on("error", reject)
      socket.on("close", () => {
        if (durations.length === operations + 1 && awaited === 0) resolve(durations.slice(1))
        else reject(new Error(`an echo connection ended after ${durations.length} of ${operations + 1} round trips`))
      })
    })
})

const receive = (open: OpenConnection, bytes: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now()
    let received = 0
    const socket = open(({ length }) => {
      received += length
    })
    socket.on("error", reject)
    socket.on("close", () => {
      if (received === bytes) resolve(performance.now() - startedAt)
      else reject(new Error(`a connection brought ${received} of ${bytes} bytes`))
    })
  })

const send = (socket: Socket, bytes: number): void => {
  let left = bytes
  const sendMore = () => {
    let accepted = true
    while (accepted && left > 0) {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK
      left -= chunk.length
      accepted = socket.write(chunk)
    }
    if (left === 0) socket.end()
    else socket.once("drain", sendMore)
  }
  sendMore()
}

/** As much as Node reads at a time. */
const CHUNK = Buffer.alloc(64 * 1024, "m")

const MICROSECONDS = { name: "µs", seconds: 1e-6 }
const SECONDS = { name: "s", seconds: 1 }

const BULK_BYTES = 62_500_000

export const workloads: ReadonlyArray<Workload> = [
  {
    name: "connection",
    description: "connect, ClientHello, 1 KiB back, close; 16 at once",
    hostname: "connection.example.net",
    operations: 1000,
    unit: { name: "connection", perOperation: 1, cpu: MICROSECONDS },
    limit: { ratioMax: 2.2, ratioAim: 1.8 },
    // Enough that the subject never waits for its client, few enough that connections do not queue for long.
    ...download(1024, 16)
  },
  {
    name: "bulk",
    description: "4 connections, 62.5 MB each from the backend",
    hostname: "bulk.example.net",
    operations: 4,
    unit: { name: "GB", perOperation: BULK_BYTES / 1e9, cpu: SECONDS },
    limit: { ratioMax: 1.1 },
    ...download(BULK_BYTES, 4)
  },
  {
    name: "round-trip",
    description: "64 bytes there and back on one connection, one after the other",
    hostname: "round-trip.example.net",
    operations: 3000,
    unit: { name: "round trip", perOperation: 1, cpu: MICROSECONDS },
    ...echo(64)
  }
]
