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
  /** Taken from the socket, and from here. */
  #bytesTaken = 0
  #waiter: Waiter | undefined
  #resetListener: (() => void) | undefined
  /** The relay or the stream that has taken over. */
  #user: SocketUser | undefined

  constructor(socket: SimSocket, timeline: Timeline) {
    this.socket = socket
    this.#timeline = timeline
    this.peer = this.failed ? undefined : socket.peer
    socket.user = this
  }

  get local(): SocketAddress | undefined {
    return this.failed ? undefined : this.socket.local
  }

  get bytesRead(): number {
    return this.#bytesTaken + this.socket.unread
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
      const takeBack = this.send(bytes, (accepted) => resume(accepted ? Effect.void : FAIL_RESET))
      return Effect.sync(takeBack)
    })
  }

  /** Sends `bytes` behind what waits already, and says when all is accepted, or none will be. Gives a way to stop that. */
  send(bytes: Uint8Array, settle: PendingWrite["settle"]): () => void {
    if (this.#ending || this.socket.state !== "open") {
      settle(false)
      return () => {}
    }
    const write: PendingWrite = { bytes, accepted: 0, settle }
    this.#writes.push(write)
    this.#flush()
    return () => {
      const index = this.#writes.indexOf(write)
      if (index >= 0) this.#writes.splice(index, 1)
      this.#flush()
    }
  }

  readonly endWrite: Effect.Effect<void> = Effect.sync(() => this.finish())

  /** FIN, behind all that was sent. */
  finish(): void {
    this.#ending = true
    this.#flush()
  }

  reset(): void {
    this.#resetListener = undefined
    this.socket.reset()
    this.#giveUp()
    this.#user?.released?.()
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

  /** Calls `user` from now on in the place of who peeks, who is told that the connection is gone. */
  handTo(user: SocketUser): void {
    this.#user = user
    this.#resetListener = undefined
    this.#wake(FAIL_RESET)
  }

  /** Nobody reads it any more. */
  takeBack(): void {
    this.#user = undefined
  }

  /** Everything that has come and is not consumed. */
  take(): Uint8Array {
    const peeked = this.#peeked.take(this.#peeked.length)
    return peeked.length > 0 ? peeked : this.#takeFromSocket()
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
      this.#bytesTaken += count
    }
    return this.unread < before
  }

  // What the socket calls.

  received(): void {
    if (this.#user !== undefined) return this.#user.received()
    const result = this.#waiter && this.#look(this.#waiter.seen)
    if (result !== undefined) this.#wake(result)
  }

  acknowledged(): void {
    this.#flush()
    this.#user?.acknowledged()
  }

  lost(): void {
    const user = this.#user
    const shown = this.#waiter && this.#look(this.#waiter.seen)
    this.#giveUp(shown)
    this.#notifyReset()
    user?.lost()
  }

  /** What a peek is to be told now; undefined when it has to wait. */
  #look(seen: number): Effect.Effect<Uint8Array, PeekError> | undefined {
    if (this.socket.state === "reset") return FAIL_RESET
    const { length } = this.#peeked
    if (this.socket.unread > 0 && (length <= seen || length < PEEK_BYTES_MAX)) {
      this.#peeked.append(this.#takeFromSocket())
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

  #takeFromSocket(): Uint8Array {
    const taken = this.socket.take(this.socket.unread)
    this.#bytesTaken += taken.length
    return taken
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
      write.settle(true)
    }
    if (this.#ending) this.socket.finish()
  }

  /** Tells all who wait that it is over. */
  #giveUp(shown: Effect.Effect<Uint8Array, PeekError> = FAIL_RESET): void {
    const writes = this.#writes.splice(0)
    this.#wake(shown)
    for (const write of writes) write.settle(false)
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
  readonly settle: (accepted: boolean) => void
}

const FAIL_RESET = Effect.fail(ConnectionReset)
