/**
 * Opens sessions of HTTP/2 to a peer that reads nothing, sends fields that are malformed, and is left; then collects all
 * garbage. To be run with `--expose-gc`; with the argument `kept`, the sessions outlive their streams.
 */
import { connect } from "node:http2"
import { connect as connectTcp, createServer } from "node:net"
import { outliveStreams } from "../../../src/net/node/SessionHandle.ts"
import { FLAG, frame, headers, TYPE } from "../../l7/Http2Frames.ts"

const SESSIONS = 20
const INITIAL_WINDOW_SIZE = 4
/** More than sockets take in. */
const UNREAD = Buffer.alloc(8_000_000)

const peer = createServer((socket) => {
  socket.on("error", () => {})
  socket.write(frame(TYPE.settings, FLAG.none, 0, Buffer.of(0, INITIAL_WINDOW_SIZE, 0x3f, 0xff, 0, 0)))
  socket.write(frame(TYPE.windowUpdate, FLAG.none, 0, Buffer.of(0x3f, 0xff, 0, 0)))
  socket.on("data", () => {
    // The request has begun.
    if (socket.bytesRead < 100_000 || socket.isPaused()) return
    socket.pause()
    socket.write(headers(1, [":status", "200", "x-fine", "y".repeat(100), "X-Malformed", "1"]))
    socket.write(frame(TYPE.ping, FLAG.none, 0, Buffer.alloc(8)))
  })
})

const abandon = (port: number): Promise<void> =>
  new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1")
    const session = connect("http://peer", { createConnection: () => socket })
    if (process.argv.includes("kept")) outliveStreams(session)
    session.on("error", () => {}).on("close", resolve)
    // What came before it has been read.
    session.on("ping", () => {
      session.destroy()
      socket.destroy()
    })
    session.once("remoteSettings", () => {
      const stream = session.request({ ":method": "POST" })
      stream.on("error", () => {})
      stream.write(UNREAD)
    })
  })

const turn = () => new Promise((resolve) => setImmediate(resolve))

await new Promise<void>((resolve) => peer.listen(0, "127.0.0.1", resolve))
const address = peer.address()
if (address === null || typeof address === "string") throw new Error("The peer has no port.")
for (let i = 0; i < SESSIONS; i++) {
  await abandon(address.port)
  await turn()
  globalThis.gc?.()
}
for (let i = 0; i < 5; i++) {
  await turn()
  globalThis.gc?.()
}
process.exit(0)
