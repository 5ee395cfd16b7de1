/**
 * A `Connection` on a `net.Socket`.
 *
 * The socket is read from the first peek, `onReset` or relay on, and then about `PEEK_BYTES_MAX` ahead at most; a reset
 * behind more than that shows only when the bytes before it are taken. One listener per event is attached for the whole
 * life; peeking and relaying only exchange what it calls, `#reader`. Bytes count as written a chunk at a time, so of a
 * chunk that a failure cut in two none do. A socket that is handed over, to TLS or as a stream, is read by others; only
 * `reset`, the addresses and the counters, then the socket's own, are still the connection's.
 */
import { Effect } from "effect"
import type { Socket } from "node:net"
import { ConnectionReset, PeekTimeout, PeerEnded, type Connection, type PeekError } from "../Connection.ts"
import { parseIpAddress } from "../IpAddress.ts"
import type { SocketAddress } from "../SocketAddress.ts"
import { letGo } from "./LetGo.ts"
import type { ReadBuffer } from "./ReadBuffer.ts"
import { unreadBytes } from "./UnreadBytes.ts"

/** What takes the events of a connection's socket. */
export interface Reader {
  /** `chunk` is valid until the call returns; who needs it longer calls the connection's `keepChunk`. */
  data(chunk: Buffer): void
  /** The peer's FIN. */
  end(): void
  /** The peer's RST, or another failure; the socket is gone. */
  reset(): void
  /** Everything that `write` refused to take more behind has been accepted by the kernel. */
  drain(): void
  /** Our FIN has been sent, behind everything written. */
  finish(): void
}

/**
 * How far a connection is read ahead of its peeker. More than the largest peek that is ever asked for would be wasted;
 * a peek that is larger (`max_hello_bytes` can be) reads on as long as somebody waits for it.
 */
const PEEK_BYTES_MAX = 64 * 1024

export class NodeConnection implements Connection {
  readonly peer: SocketAddress | undefined
  readonly socket: Socket
  readonly #now: () => number
  readonly #readBuffer: ReadBuffer | undefined
  #local: SocketAddress | undefined
  /** All bytes received and not consumed, of which `#length` are in use. */
  #bytes: Buffer = EMPTY
  #length = 0
  #ended = false
  #failed = false
  /** We have reset it ourselves. */
  #released = false
  /** Bytes given to the socket, and of these what the kernel has accepted. */
  #bytesSent = 0
  #bytesWritten = 0
  #waiter: Waiter | undefined
  #deadline = 0
  #timer: NodeJS.Timeout | undefined
  #resetListener: (() => void) | undefined
  #reader: Reader = this
  #handedOver = false

  /** Of a socket that was dialled, `dialled` says whom, which spares asking the system, and what it reads into. */
  constructor(socket: Socket, now: () => number, dialled?: Dialled) {
    this.socket = socket
    this.#now = now
    this.#readBuffer = dialled?.readBuffer
    this.peer = dialled?.peer ?? socketAddress(socket.remoteAddress, socket.remotePort)
    // First of all: a listener for data would start the reading.
    socket.pause()
    if (dialled === undefined) socket.on("data", this.#receive)
    else dialled.readBuffer.onChunk(this.#receive)
    socket.on("end", () => this.#reader.end())
    socket.on("error", () => this.#fail())
    socket.on("drain", () => this.#reader.drain())
    socket.on("finish", () => this.#reader.finish())
    socket.on("close", () => {
      this.#reader = NOBODY
      this.#readBuffer?.release()
      letGo(socket)
    })
  }

  get local(): SocketAddress | undefined {
    return (this.#local ??= socketAddress(this.socket.localAddress, this.socket.localPort))
  }

  get bytesRead(): number {
    return this.socket.bytesRead
  }

  get bytesWritten(): number {
    return this.#handedOver ? this.socket.bytesWritten : this.#bytesWritten
  }

  peek(seen: number, deadline: number): Effect.Effect<Uint8Array, PeekError> {
    if (this.#length > seen) return Effect.succeed(this.#view())
    return Effect.callback<Uint8Array, PeekError>((resume) => {
      if (this.#length > seen) return resume(Effect.succeed(this.#view()))
      if (this.#failed || this.#released) return resume(FAIL_RESET)
      if (this.#ended) return resume(FAIL_ENDED)
      this.#waiter = { seen, resume }
      this.#setDeadline(deadline)
      this.socket.resume()
      return Effect.sync(() => {
        this.#waiter = undefined
      })
    })
  }

  consume(count: number): void {
    this.#bytes = this.#bytes.subarray(count)
    this.#length -= count
  }

  write(bytes: Uint8Array): Effect.Effect<void, ConnectionReset> {
    return Effect.callback<void, ConnectionReset>((resume) => {
      if (this.socket.destroyed) return resume(FAIL_RESET)
      this.#bytesSent += bytes.length
      this.socket.write(bytes, (error) => {
        this.#sent(error)
        resume(error ? FAIL_RESET : Effect.void)
      })
    })
  }

  /** Sends `bytes` behind what waits already; false while more waits than Node's high-water mark. */
  send(bytes: Uint8Array): boolean {
    this.#bytesSent += bytes.length
    return this.socket.write(bytes, this.#sent)
  }

  readonly endWrite: Effect.Effect<void> = Effect.sync(() => {
    this.socket.end()
  })

  reset(): void {
    this.#resetListener = undefined
    if (!this.#released && !this.socket.destroyed) {
      this.#released = true
      const { writableEnded, writableFinished, writableLength } = this.socket
      if (writableEnded && !writableFinished && writableLength === 0) {
        // libuv resets no socket whose shutdown(2) is under way, and Node would leak it; that takes a turn of the loop.
        this.socket.once("finish", () => this.socket.resetAndDestroy())
      } else {
        this.socket.resetAndDestroy()
      }
    }
    this.stopPeeking()
  }

  /** Frees the socket once both ways have finished; what was written is still delivered. */
  close(): void {
    this.socket.destroy()
  }

  onReset(listener: (() => void) | undefined): void {
    this.#resetListener = listener
    if (listener === undefined) return
    if (this.#failed) this.#notifyReset()
    else if (this.#length < PEEK_BYTES_MAX) this.socket.resume()
  }

  /** The socket failed already, or the peer's FIN has come: a relay that starts now has to be told. */
  get failed(): boolean {
    return this.#failed
  }
  get ended(): boolean {
    return this.#ended
  }

  /** Hands events to `reader` from now on, and what was peeked with them. The socket is paused until `resume`. */
  read(reader: Reader): Uint8Array {
    this.stopPeeking()
    this.#reader = reader
    this.#resetListener = undefined
    const peeked = this.#view()
    this.#bytes = EMPTY
    this.#length = 0
    return peeked
  }

  /**
   * Gives the socket away, paused, as a stream that begins with the first byte not consumed. Destroyed, where the other
   * side's FIN has been seen: Node puts nothing back behind that.
   */
  handOver(): Socket {
    this.#handedOver = true
    this.socket.pause()
    const peeked = this.read(NOBODY)
    const { socket } = this
    if (this.#readBuffer === undefined) socket.off("data", this.#receive)
    else {
      // A socket that reads into a buffer of ours emits nothing of itself. What `push` answers is its back-pressure.
      this.#readBuffer.onChunk((chunk) => {
        this.keepChunk()
        return socket.push(chunk)
      })
    }
    if (this.#ended) socket.destroy()
    else if (peeked.length > 0) socket.unshift(peeked)
    return socket
  }

  /** The chunk that the reader was given last is needed further on. */
  keepChunk(): void {
    this.#readBuffer?.keep()
  }

  /** Takes back the peek's timer; who still waits is told that the connection is gone. */
  stopPeeking(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#wake(FAIL_RESET)
  }

  // The connection is its own reader while it is peeked.

  data(chunk: Buffer): void {
    if (this.#length === 0) {
      this.#bytes = chunk
      this.keepChunk()
    } else {
      this.#append(chunk)
    }
    this.#length += chunk.length
    const waiting = this.#waiter
    if (waiting !== undefined && this.#length > waiting.seen) this.#wake(Effect.succeed(this.#view()))
    if (this.#length >= PEEK_BYTES_MAX && this.#waiter === undefined) this.socket.pause()
  }

  end(): void {
    this.#ended = true
    this.#wake(FAIL_ENDED)
  }

  drain(): void {}
  finish(): void {}

  /** One timer serves all the peeks up to the same deadline, also those of them that come after it has fired. */
  #setDeadline(deadline: number): void {
    if (this.#timer !== undefined && this.#deadline === deadline) return
    clearTimeout(this.#timer)
    this.#deadline = deadline
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        this.#wake(FAIL_TIMEOUT)
      },
      Math.max(0, deadline - this.#now())
    )
  }

  /** Appends to the peeked bytes; room doubles, so that bytes coming one at a time cost linear time. */
  #append(chunk: Buffer): void {
    const needed = this.#length + chunk.length
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length))
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    chunk.copy(this.#bytes, this.#length)
  }

  #view(): Buffer {
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.#length)
  }

  readonly #receive = (chunk: Buffer): boolean => {
    this.#reader.data(chunk)
    return true
  }

  #wake(result: Effect.Effect<Uint8Array, PeekError>): void {
    const waiting = this.#waiter
    this.#waiter = undefined
    waiting?.resume(result)
  }

  /** The socket has taken what was given to it up to here, or has failed, and with it everything behind. */
  readonly #sent = (error: Error | null | undefined): void => {
    if (error) return this.#receiveUnread()
    // Once a write has failed Node's queue no longer shows what was accepted before.
    if (this.socket.errored === null) this.#bytesWritten = this.#bytesSent - this.socket.writableLength
  }

  /** After a failure the events stop; what had come before it is shown all the same. */
  #receiveUnread(): void {
    if (this.#failed || this.#released) return
    for (const chunk of unreadBytes(this.socket)) this.#reader.data(chunk)
  }

  #fail(): void {
    if (this.#failed || this.#released) return
    this.#receiveUnread()
    this.#failed = true
    // A relay that starts from within the wake-up sees for itself that the socket has failed.
    if (this.#reader !== this) return this.#reader.reset()
    this.#wake(FAIL_RESET)
    this.#notifyReset()
  }

  #notifyReset(): void {
    const listener = this.#resetListener
    this.#resetListener = undefined
    listener?.()
  }
}

interface Dialled {
  readonly peer: SocketAddress
  readonly readBuffer: ReadBuffer
}

interface Waiter {
  readonly seen: number
  readonly resume: (result: Effect.Effect<Uint8Array, PeekError>) => void
}

/** A socket's end. Of a link-local address only the address counts: its zone (`%eth0`) names an interface of ours. */
const socketAddress = (text: string | undefined, port: number | undefined): SocketAddress | undefined => {
  if (text === undefined || port === undefined) return undefined
  const zone = text.indexOf("%")
  const ip = parseIpAddress(zone < 0 ? text : text.slice(0, zone))
  return ip === undefined ? undefined : { ip, port }
}

/** The reader of a socket that others read, or that is closed. */
const NOBODY: Reader = { data: () => {}, end: () => {}, reset: () => {}, drain: () => {}, finish: () => {} }

const EMPTY = Buffer.alloc(0)
const FAIL_RESET = Effect.fail(ConnectionReset)
const FAIL_ENDED = Effect.fail(PeerEnded)
const FAIL_TIMEOUT = Effect.fail(PeekTimeout)
