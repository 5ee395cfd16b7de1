/**
 * One end of a simulated TCP connection, as a kernel has it: two pipes, FIN, RST, and a descriptor while it is open.
 *
 * It closes by itself when both ways have finished; what it has accepted is still delivered then. A reset is behind
 * what is on its way already and before what is not, and leaves readable what had come. FIN, once it has come, is how
 * receiving ended, also when a RST follows it.
 */
import type { SocketAddress } from "../SocketAddress.ts"
import type { Fabric } from "./Fabric.ts"
import { Wire, type Link } from "./Link.ts"
import { Pipe, type PipeEvents } from "./Pipe.ts"
import type { Side, TraceKind } from "./Trace.ts"

/** Who uses a socket. It is called from the timeline alone. */
export interface SocketUser {
  /** There is more to read, or FIN has come. */
  received(): void
  /** There may be room to write, and more than before has been delivered. */
  acknowledged(): void
  /** RST has come. */
  lost(): void
  /** Its owner has reset it; within that call. */
  released?(): void
}

/** `finished`: both ways, in peace; `failed`: by the other side's RST; `reset`: by ours. */
export type SocketState = "open" | "finished" | "failed" | "reset"

export class SimSocket {
  /** Counts the connections of the network. */
  readonly connection: number
  readonly side: Side
  readonly local: SocketAddress
  readonly peer: SocketAddress
  user: SocketUser | undefined
  #state: SocketState = "open"
  readonly #fabric: Fabric
  readonly #wire: Wire
  #other!: SimSocket
  #incoming!: Pipe
  #outgoing!: Pipe
  #freeDescriptor: (() => void) | undefined

  /** The two ends of a connection that is yet to be made, the dialler's first. */
  static pair(fabric: Fabric, link: Link, dialler: SocketAddress, listener: SocketAddress): SocketPair {
    const connection = fabric.nextConnection()
    const near = new SimSocket(fabric, link, connection, "dialler", dialler, listener)
    const far = new SimSocket(fabric, link, connection, "listener", listener, dialler)
    near.#join(far, link)
    far.#join(near, link)
    near.#incoming = far.#outgoing
    far.#incoming = near.#outgoing
    return [near, far]
  }

  private constructor(
    fabric: Fabric,
    link: Link,
    connection: number,
    side: Side,
    local: SocketAddress,
    peer: SocketAddress
  ) {
    this.#fabric = fabric
    this.#wire = new Wire(fabric.timeline, fabric.random, link)
    this.connection = connection
    this.side = side
    this.local = local
    this.peer = peer
  }

  get state(): SocketState {
    return this.#state
  }

  /** `free` is called once, when the socket closes. */
  holdDescriptor(free: () => void): void {
    if (this.#state === "open") this.#freeDescriptor = free
    else free()
  }

  /** Sends what is no byte of the stream, in order with the stream. */
  signal(arrive: () => void): void {
    this.#wire.carry(arrive)
  }

  get unread(): number {
    return this.#incoming.unread
  }

  view(): Uint8Array {
    return this.#incoming.view()
  }

  take(count: number): Uint8Array {
    const bytes = this.#incoming.take(count)
    if (bytes.length > 0) this.trace("read", bytes.length)
    this.#settle()
    return bytes
  }

  /** FIN has come, and may have bytes before it that are not read. */
  get ended(): boolean {
    return this.#incoming.ended
  }

  /** Takes as many of `bytes` as there is room for, none once it is closed. */
  offer(bytes: Uint8Array): number {
    if (this.#state !== "open") return 0
    const count = this.#outgoing.offer(bytes)
    if (count > 0) this.trace("accept_bytes", count)
    return count
  }

  finish(): void {
    if (this.#state !== "open" || this.#outgoing.finished) return
    this.trace("send_fin")
    this.#outgoing.finish()
    this.#settle()
  }

  /** Our FIN is sent, or waits behind what is yet to be sent. */
  get finishing(): boolean {
    return this.#outgoing.finished
  }

  get delivered(): boolean {
    return this.#outgoing.delivered
  }

  get held(): Pipe["held"] {
    return { sending: this.#outgoing.held.sending, receiving: this.#incoming.held.receiving }
  }

  reset(): void {
    if (this.#state === "failed") this.#incoming.close()
    if (this.#state !== "open") return
    this.trace("send_rst")
    this.#outgoing.cut()
    this.#incoming.close()
    this.#wire.carry(() => this.#other.#fail())
    this.#close("reset")
  }

  /** Closes what has never been connected. */
  abandon(): void {
    if (this.#state === "open") this.#close("reset")
  }

  trace(kind: TraceKind, bytes = 0, subject = ""): void {
    this.#fabric.trace?.({
      at: this.#fabric.timeline.now(),
      kind,
      connection: this.connection,
      side: this.side,
      bytes,
      subject
    })
  }

  #join(other: SimSocket, link: Link): void {
    this.#other = other
    const events: PipeEvents = {
      arrived: (bytes) => {
        other.trace("arrive", bytes)
        other.user?.received()
      },
      ended: () => {
        other.trace("arrive_fin")
        other.#settle()
        other.user?.received()
      },
      acknowledged: () => this.user?.acknowledged()
    }
    this.#outgoing = new Pipe(link, this.#wire, other.#wire, events)
  }

  #fail(): void {
    this.#outgoing.cut()
    if (this.#state !== "open") return
    this.trace("arrive_rst")
    this.#close("failed")
    this.user?.lost()
  }

  /** Closes when nothing is left to read or to say. */
  #settle(): void {
    if (this.#state !== "open" || !this.#outgoing.finished || !this.#incoming.ended) return
    if (this.#incoming.unread === 0) this.#close("finished")
  }

  #close(state: SocketState): void {
    this.#state = state
    this.trace("close")
    this.#freeDescriptor?.()
    this.#freeDescriptor = undefined
  }
}

export type SocketPair = readonly [dialler: SimSocket, listener: SimSocket]
