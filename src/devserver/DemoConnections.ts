/**
 * The connections of one demo backend, and the clients that PROXY headers named for them.
 *
 * A header ahead of the TLS is taken out where there is one, whoever sent it: a demo trusts everybody.
 */
import type { Socket } from "node:net"
import { parseIpAddress } from "../net/IpAddress.ts"
import { formatSocketAddress, type SocketAddress } from "../net/SocketAddress.ts"
import { readProxyHeader } from "../proxyproto/ProxyHeader.ts"

/** What Node tells of a socket's ends; each is missing once the socket is closed. */
export type SocketEnds = Pick<Socket, "localAddress" | "localPort" | "remoteAddress" | "remotePort">

export class DemoConnections {
  readonly #open = new Set<Socket>()
  /** By the peer's address, which no two open connections to one listener share. */
  readonly #clients = new Map<string, SocketAddress>()

  /** Calls `ready` when the next byte to come is the first of the TLS. */
  add(socket: Socket, ready: () => void): void {
    const peer = formatSocketAddress(peerOf(socket))
    this.#open.add(socket)
    socket.on("error", () => {})
    socket.once("close", () => {
      this.#open.delete(socket)
      this.#clients.delete(peer)
    })
    takeProxyHeader(socket, (client) => {
      if (client !== undefined) this.#clients.set(peer, client)
      ready()
    })
  }

  /** The client that a header named for the connection from `peer`. */
  clientOf(peer: SocketAddress): SocketAddress | undefined {
    return this.#clients.get(formatSocketAddress(peer))
  }

  closeAll(): void {
    for (const socket of this.#open) socket.destroy()
  }
}

export const peerOf = ({ remoteAddress, remotePort }: SocketEnds): SocketAddress => end(remoteAddress, remotePort)

export const localOf = ({ localAddress, localPort }: SocketEnds): SocketAddress => end(localAddress, localPort)

const end = (address: string | undefined, port: number | undefined): SocketAddress => ({
  ip: parseIpAddress(address ?? "") ?? NOWHERE,
  port: port ?? 0
})

const NOWHERE = parseIpAddress("0.0.0.0")!

/** Consumes a header, if the first bytes are one, and gives the rest back to the socket. */
const takeProxyHeader = (socket: Socket, done: (client: SocketAddress | undefined) => void): void => {
  let seen: Uint8Array = new Uint8Array()
  const read = (): void => {
    const chunk = socket.read() as Uint8Array | null
    if (chunk === null) return
    seen = Buffer.concat([seen, chunk])
    const header = readProxyHeader(seen)
    if (header._tag === "NeedMore") return
    socket.off("readable", read)
    const isHeader = header._tag === "Header"
    const rest = isHeader ? seen.subarray(header.length) : seen
    if (rest.length > 0) socket.unshift(rest)
    done(isHeader ? header.client : undefined)
  }
  socket.on("readable", read)
}
