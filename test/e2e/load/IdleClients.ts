/**
 * A program: clients that hold their connections open and do nothing.
 *
 *     node IdleClients.ts ADDRESS NAME RELAYED WAITING
 *
 * RELAYED of them ask for NAME and get a byte from its backend, WAITING send half a hello. Prints `open` when all are
 * so far, or dies. When it is killed the kernel closes them all.
 */
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { hello } from "../harness/Hello.ts"
import { splitAddress } from "../harness/Wire.ts"

/** Connecting at the same time; fewer than wait in any queue on the way. */
const AT_ONCE = 100

const [address = "", name = "", relayed = "", waiting = ""] = process.argv.slice(2)

const open = async (): Promise<Socket> => {
  const socket = connect({ ...splitAddress(address), noDelay: true })
  await once(socket, "connect")
  return socket
}

const openRelayed = async (): Promise<void> => {
  const socket = await open()
  socket.write(hello(name))
  await once(socket, "data")
}

const openWaiting = async (): Promise<void> => {
  const socket = await open()
  const bytes = hello(name)
  socket.write(bytes.subarray(0, bytes.length >> 1))
}

const left = { relayed: Number(relayed), waiting: Number(waiting) }

/** Both kinds in turn, as far as there are any. */
const worker = async (): Promise<void> => {
  while (left.relayed > 0 || left.waiting > 0) {
    if (left.relayed-- > 0) await openRelayed()
    if (left.waiting-- > 0) await openWaiting()
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, worker))
console.log("open")
