/**
 * A bound address of a simulated network, and the connections that wait there to be accepted.
 *
 * At most `backlogMax` wait, those whose handshake is under way included; past that a SYN is dropped, as a kernel does,
 * and sent again by whoever dials. Who listens takes what waits when `arrived` tells it, or whenever it likes. Closing
 * resets what nobody has taken.
 */
import type { SocketAddress } from "../SocketAddress.ts"
import type { SimSocket } from "./SimSocket.ts"
import type { Link } from "./Link.ts"

export class SimListener {
  /** As it was asked for. */
  readonly address: SocketAddress
  /** What diallers reach it at: its address, or every one of its machine's with that port. */
  readonly reachedAt: ReadonlyArray<SocketAddress>
  /** Of those who come here, unless they have one of their own. */
  readonly link: Partial<Link>
  /** Is called when one more waits. */
  arrived: () => void = () => {}
  readonly #backlogMax: number
  readonly #waiting: Array<SimSocket> = []
  #handshakes = 0
  #closed = false

  constructor(
    address: SocketAddress,
    reachedAt: ReadonlyArray<SocketAddress>,
    options: { readonly backlogMax: number; readonly link: Partial<Link> }
  ) {
    this.address = address
    this.reachedAt = reachedAt
    this.#backlogMax = options.backlogMax
    this.link = options.link
  }

  /** How many wait to be accepted. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** SYN has come: false when it is dropped. */
  greet(): boolean {
    if (this.#waiting.length + this.#handshakes >= this.#backlogMax) return false
    this.#handshakes++
    return true
  }

  /** The dialler has gone before its handshake was done. */
  dismiss(): void {
    this.#handshakes--
  }

  /** The handshake is done. */
  admit(socket: SimSocket): void {
    this.#handshakes--
    if (this.#closed) return socket.reset()
    this.#waiting.push(socket)
    this.arrived()
  }

  /** The one that has waited longest; it may have been reset meanwhile. */
  take(): SimSocket | undefined {
    return this.#waiting.shift()
  }

  close(): void {
    this.#closed = true
    for (const socket of this.#waiting.splice(0)) socket.reset()
  }
}
