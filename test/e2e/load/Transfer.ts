/**
 * A transfer of the mixed load: so many bytes each way, told apart from every other transfer's, and counted.
 *
 * The client sends its hello, a request and the upload; the backend answers the request at once with the download and
 * then ends, by FIN or RST. The backend notes what it was sent of each, by the transfer's id.
 */
import { Effect, type Scope } from "effect"
import { randomBytes } from "node:crypto"
import type { Socket } from "node:net"
import { hello } from "../harness/Hello.ts"
import { Watch } from "../harness/Watch.ts"
import { startTcpServer } from "./TcpServer.ts"

export interface Transfer {
  readonly id: number
  readonly uploadBytes: number
  readonly downloadBytes: number
  readonly endsBy: "fin" | "reset"
}

/** The route that transfers take. */
export const TRANSFER_NAME = "transfer.test"

/** The most that a transfer carries one way: several of the buffers on its way. */
export const TRANSFER_BYTES_MAX = 256 * 1024

/** All that the client of a transfer sends. */
export const uploadOf = (transfer: Transfer): Buffer => {
  const request = Buffer.alloc(REQUEST_BYTES)
  request.writeUInt32BE(transfer.id, 0)
  request.writeUInt32BE(transfer.uploadBytes, 4)
  request.writeUInt32BE(transfer.downloadBytes, 8)
  request.writeUInt8(transfer.endsBy === "reset" ? 1 : 0, 12)
  return Buffer.concat([HELLO, request, payload(transfer.id, transfer.uploadBytes)])
}

/** All that its backend answers. */
export const downloadOf = ({ id, downloadBytes }: Transfer): Buffer => payload(~id, downloadBytes)

/** What the backend has been sent of one transfer. */
export interface Received {
  readonly bytes: number
  /** It is what the client of that transfer sends, from its first byte. */
  readonly exact: boolean
}

export interface TransferBackend {
  readonly address: string
  /** Waits until the backend's connection of the transfer with that id is closed. */
  received(id: number): Effect.Effect<Received>
}

export const startTransferBackend: Effect.Effect<TransferBackend, never, Scope.Scope> = Effect.gen(function* () {
  const closed = new Map<number, Received>()
  const watch = new Watch()
  const address = yield* startTcpServer((socket) =>
    serve(socket, (id, received) => {
      closed.set(id, received)
      watch.notify()
    })
  )
  return { address, received: (id) => watch.until(`the backend's end of transfer ${id}`, () => closed.get(id)) }
})

const serve = (socket: Socket, ended: (id: number, received: Received) => void): void => {
  let bytes = Buffer.alloc(0)
  let transfer: Transfer | undefined
  socket.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    if (transfer !== undefined || bytes.length < HEAD_BYTES) return
    transfer = readRequest(bytes.subarray(HELLO.length))
    const { endsBy } = transfer
    socket.write(downloadOf(transfer), () => (endsBy === "fin" ? socket.end() : socket.resetAndDestroy()))
  })
  socket.once("end", () => {
    if (transfer === undefined) socket.end()
  })
  socket.once("close", () => {
    if (transfer === undefined) return
    const exact = bytes.equals(uploadOf(transfer).subarray(0, bytes.length))
    ended(transfer.id, { bytes: bytes.length, exact })
  })
}

const readRequest = (bytes: Buffer): Transfer => ({
  id: bytes.readUInt32BE(0),
  uploadBytes: bytes.readUInt32BE(4),
  downloadBytes: bytes.readUInt32BE(8),
  endsBy: bytes.readUInt8(12) === 1 ? "reset" : "fin"
})

const HELLO = hello(TRANSFER_NAME)
const REQUEST_BYTES = 13
const HEAD_BYTES = HELLO.length + REQUEST_BYTES

/** A slice of random bytes, at a place of its own for most seeds. */
const payload = (seed: number, length: number): Buffer => {
  const at = Math.imul(seed, 0x9e3779b1) >>> 12
  return POOL.subarray(at, at + length)
}

const POOL = randomBytes(2 ** 20 + TRANSFER_BYTES_MAX)
