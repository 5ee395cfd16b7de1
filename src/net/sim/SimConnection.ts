/**
 * A `Connection` on a simulated socket.
 *
 * It takes bytes out of the socket's receive buffer only for who peeks, so that a peer is slowed as soon as nobody does.
 * A reset is told at once, also to who has not read what came before it. Of a write that is interrupted, what had not
 * been accepted is never sent.
 */
import { Effect } from "effect"
import { ConnectionReset, PeekTimeout, PeerEnded, type Connection, type PeekError } from "../Connection.ts"
import type { SocketAddress } from "../SocketAddress.ts"
import { ByteQueue } from "./ByteQueue.ts"
import type { QueuedEvent } from "./EventQueue.ts"
import type { SimSocket, SocketUser } from "./SimSocket.ts"
import type { Timeline } from "./Timeline.ts"

/** What a peek shows beyond what it was asked for; a peek that wants more gets more. */
const PEEK_BYTES_MAX = 64 * 1024

export class SimConnection implements Connection, SocketUser {
  readonly socket: SimSocket
  readonly peer: SocketAddress | undefined
  readonly #timeline: Timeline
  readonly #peeked = new ByteQueue()
  readonly #writes: Array<PendingWrite> = []
  /** FIN is to follow the writes that wait. */
  #ending = false
  #bytesWritten = 0
  #waiter: Waiter | undefined
  #resetListener: (() => void) | undefined
  /** The relay that has taken over. */
  #relay: SocketUser | undefined

  constructor(socket: SimSocket, timeline: Timeline) {
    this.socket = socket
    this.#timeline = timeline
    this.peer = this.failed ? undefined : socket.peer
    socket.user = this
  }

  get local(): SocketAddress | undefined {
    return this.failed ? undefined : this.socket.local
  }

  get bytesWritten(): number {
    return this.#bytesWritten
  }

  peek(seen: number, deadline: number): Effect.Effect<Uint8Array, PeekError> {
    return Effect.callback<Uint8Array, PeekError>((resume) => {
      const result = this.#look(seen)
      if (result !== undefined) return resume(result)
      const timer =
        deadline === Infinity ? undefined : this.#timeline.at(deadline, () => this.#wake(Effect.fail(PeekTimeout)))
      const waiter: Waiter = { seen, resume, timer }
      this.#waiter = waiter
      return Effect.sync(() => {
        this.#timeline.cancel(timer)
        if (this.#waiter === waiter) this.#waiter = undefined
      })
    })
  }

  consume(count: number): void {
    this.#peeked.take(count)
  }

  write(bytes: Uint8Array): Effect.Effect<void, ConnectionReset> {
    return Effect.callback<void, ConnectionReset>((resume) => {
      if (this.#ending || this.socket.state !== "open") return resume(FAIL_RESET)
      const write: PendingWrite = { bytes, accepted: 0, resume }
      this.#writes.push(write)
      this.#flush()
      return Effect.sync(() => {
        const index = this.#writes.indexOf(write)
        if (index >= 0) this.#writes.splice(index, 1)
        this.#flush()
      })
    })
  }

  readonly endWrite: Effect.Effect<void> = Effect.sync(() => {
    this.#ending = true
    this.#flush()
  })

  reset(): void {
    this.#resetListener = undefined
    this.socket.reset()
    this.#giveUp()
  }

  onReset(listener: (() => void) | undefined): void {
    this.#resetListener = listener
    if (this.failed) this.#notifyReset()
  }

  /** The peer has reset. */
  get failed(): boolean {
    return this.socket.state === "failed"
  }

  /** The peer's FIN is next to be read, or has been. */
  get ended(): boolean {
    return this.socket.ended && this.unread === 0
  }

  /** What has come and is not consumed. */
  get unread(): number {
    return this.#peeked.length + this.socket.unread
  }

  /** Calls `relay` from now on in the place of who peeks, who is told that the connection is gone. */
  handTo(relay: SocketUser): void {
    this.#relay = relay
    this.#resetListener = undefined
    this.#wake(FAIL_RESET)
  }

  /** Nobody reads it any more. */
  takeBack(): void {
    this.#relay = undefined
  }

  /** Passes on to `target` what that has room for; says whether it was anything. */
  passTo(target: SimConnection): boolean {
    const before = this.unread
    while (this.#peeked.length > 0) {
      const count = target.#offer(this.#peeked.view())
      if (count === 0) return this.unread < before
      this.#peeked.take(count)
    }
    while (this.socket.unread > 0) {
      const count = target.#offer(this.socket.view())
      if (count === 0) break
      this.socket.take(count)
    }
    return this.unread < before
  }

  // What the socket calls.

  received(): void {
    if (this.#relay !== undefined) return this.#relay.received()
    const result = this.#waiter && this.#look(this.#waiter.seen)
    if (result !== undefined) this.#wake(result)
  }

  acknowledged(): void {
    this.#flush()
    this.#relay?.acknowledged()
  }

  lost(): void {
    const relay = this.#relay
    const shown = this.#waiter && this.#look(this.#waiter.seen)
    this.#giveUp(shown)
    this.#notifyReset()
    relay?.lost()
  }

  /** What a peek is to be told now; undefined when it has to wait. */
  #look(seen: number): Effect.Effect<Uint8Array, PeekError> | undefined {
    if (this.socket.state === "reset") return FAIL_RESET
    const { length } = this.#peeked
    if (this.socket.unread > 0 && (length <= seen || length < PEEK_BYTES_MAX)) {
      this.#peeked.append(this.socket.take(this.socket.unread))
    }
    if (this.#peeked.length > seen) return Effect.succeed(this.#peeked.view())
    if (this.socket.ended) return Effect.fail(PeerEnded)
    return this.failed ? FAIL_RESET : undefined
  }

  #wake(result: Effect.Effect<Uint8Array, PeekError>): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    this.#timeline.cancel(waiter?.timer)
    waiter?.resume(result)
  }

  #offer(bytes: Uint8Array): number {
    // Not before what somebody else is writing.
    if (this.#writes.length > 0) return 0
    const count = this.socket.offer(bytes)
    this.#bytesWritten += count
    return count
  }

  #flush(): void {
    while (this.#writes.length > 0) {
      const write = this.#writes[0]!
      const count = this.socket.offer(write.bytes.subarray(write.accepted))
      this.#bytesWritten += count
      write.accepted += count
      if (write.accepted < write.bytes.length && count === 0) return
      if (write.accepted < write.bytes.length) continue
      this.#writes.shift()
      write.resume(Effect.void)
    }
    if (this.#ending) this.socket.finish()
  }

  /** Tells all who wait that it is over. */
  #giveUp(shown: Effect.Effect<Uint8Array, PeekError> = FAIL_RESET): void {
    const writes = this.#writes.splice(0)
    this.#wake(shown)
    for (const write of writes) write.resume(FAIL_RESET)
  }

  #notifyReset(): void {
    const listener = this.#resetListener
    this.#resetListener = undefined
    listener?.()
  }
}

interface Waiter {
  readonly seen: number
  readonly resume: (result: Effect.Effect<Uint8Array, PeekError>) => void
  readonly timer: QueuedEvent | undefined
}

interface PendingWrite {
  readonly bytes: Uint8Array
  accepted: number
  readonly resume: (result: Effect.Effect<void, ConnectionReset>) => void
}

const FAIL_RESET = Effect.fail(ConnectionReset)
