/**
 * Copies between two connections on Node's sockets until both ways have finished, with no Effect per chunk.
 *
 * Back-pressure is Node's: a socket is paused while the other's queue is over its high-water mark, so that what is in
 * flight per direction is that mark, what the paused socket still takes in, and a chunk. The relay ends each socket as
 * its result says it ended; an interruption leaves both paused, for their owner to reset.
 */
import { Effect } from "effect"
import type { RelayEnd, RelayTimeouts } from "../Network.ts"
import type { NodeConnection, Reader } from "./NodeConnection.ts"

export const relay = (
  client: NodeConnection,
  backend: NodeConnection,
  timeouts: RelayTimeouts,
  now: () => number
): Effect.Effect<RelayEnd> =>
  Effect.callback<RelayEnd>((resume) => {
    const running = new NodeRelay(client, backend, timeouts, now, (end) => resume(Effect.succeed(end)))
    running.start()
    return Effect.sync(() => running.stop())
  })

/**
 * After a reset the survivor is told by a FIN, and may go on sending for a while. So much is read and thrown away, so
 * that its own FIN is seen and both can go; a survivor that sends more is left to wait for its RST.
 */
const DISCARD_BYTES_MAX = 1024 * 1024

class NodeRelay {
  readonly #timeouts: RelayTimeouts
  readonly #now: () => number
  readonly #finish: (end: RelayEnd) => void
  readonly #fromClient: Direction
  readonly #fromBackend: Direction
  #timer: NodeJS.Timeout | undefined
  #lastByteAt: number
  #halfClosed = false
  /** One side has reset, and the other is being told. */
  #resetting = false
  #stopped = false

  constructor(
    client: NodeConnection,
    backend: NodeConnection,
    timeouts: RelayTimeouts,
    now: () => number,
    finish: (end: RelayEnd) => void
  ) {
    this.#timeouts = timeouts
    this.#now = now
    this.#finish = finish
    this.#fromClient = new Direction(client, backend, this)
    this.#fromBackend = new Direction(backend, client, this)
    this.#fromClient.opposite = this.#fromBackend
    this.#fromBackend.opposite = this.#fromClient
    this.#lastByteAt = now()
  }

  start(): void {
    this.#timer = setTimeout(this.#onTimer, this.#timeouts.idleTimeoutMs)
    this.#fromClient.start()
    if (!this.#stopped && !this.#resetting) this.#fromBackend.start()
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#fromClient.source.socket.pause()
    this.#fromBackend.source.socket.pause()
  }

  get stopped(): boolean {
    return this.#stopped
  }

  active(): void {
    this.#lastByteAt = this.#now()
  }

  /** One side has sent its FIN. */
  halfClose(): void {
    this.active()
    this.#halfClosed = true
    this.#arm()
  }

  /** One direction has passed its FIN on. */
  finished(): void {
    this.active()
    if (this.#fromClient.done && this.#fromBackend.done) this.#end("done")
  }

  /** One side has reset: the other is told behind what it is still owed. */
  reset(by: Direction, survivor: Direction): void {
    if (this.#stopped) return
    if (this.#resetting || !by.relayed || survivor.source.failed) return this.#end("reset")
    this.#resetting = true
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#end("reset"), this.#timeouts.halfCloseTimeoutMs)
    survivor.discard(by.done, () => this.#end("reset"))
  }

  #end(end: RelayEnd): void {
    if (this.#stopped) return
    this.stop()
    for (const { source } of [this.#fromClient, this.#fromBackend]) {
      if (end === "done") source.close()
      else source.reset()
    }
    this.#finish(end)
  }

  #arm(): void {
    const { halfCloseTimeoutMs, idleTimeoutMs } = this.#timeouts
    const timeoutMs = this.#halfClosed ? Math.min(halfCloseTimeoutMs, idleTimeoutMs) : idleTimeoutMs
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#onTimer, Math.max(1, this.#lastByteAt + timeoutMs - this.#now()))
  }

  readonly #onTimer = (): void => {
    const { halfCloseTimeoutMs, idleTimeoutMs } = this.#timeouts
    const idleMs = this.#now() - this.#lastByteAt
    // Timers may fire a fraction of a millisecond early.
    if (this.#halfClosed && idleMs + 1 > halfCloseTimeoutMs) return this.#end("half_close_timeout")
    if (idleMs + 1 > idleTimeoutMs) return this.#end("idle_timeout")
    this.#arm()
  }
}

/** What one side sends, on its way to the other. It is the reader of its source. */
class Direction implements Reader {
  readonly source: NodeConnection
  readonly #target: NodeConnection
  readonly #relay: NodeRelay
  declare opposite: Direction
  /** The source has sent something, which the target is owed. */
  relayed = false
  /** Our FIN to the target is out. */
  done = false

  constructor(source: NodeConnection, target: NodeConnection, relay: NodeRelay) {
    this.source = source
    this.#target = target
    this.#relay = relay
  }

  start(): void {
    const peeked = this.source.read(this)
    if (peeked.length > 0) this.#pass(peeked)
    if (this.source.ended) this.end()
    if (this.source.failed) return this.reset()
    if (this.#target.socket.writableNeedDrain) this.source.socket.pause()
    else this.source.socket.resume()
  }

  data(chunk: Buffer): void {
    if (this.#relay.stopped) return
    this.#relay.active()
    if (!this.#pass(chunk)) this.source.socket.pause()
  }

  #pass(bytes: Uint8Array): boolean {
    this.relayed = true
    const room = this.#target.send(bytes)
    if (this.#target.socket.writableLength > 0) this.source.keepChunk()
    return room
  }

  end(): void {
    if (this.#relay.stopped) return
    this.#relay.halfClose()
    this.#target.socket.end()
  }

  reset(): void {
    this.#relay.reset(this, this.opposite)
  }

  /** The source's queue has room again: what fills it may go on. */
  drain(): void {
    if (this.#relay.stopped) return
    this.#relay.active()
    this.#target.socket.resume()
  }

  /** Our FIN to the source is out: the opposite direction is done. */
  finish(): void {
    if (this.#relay.stopped) return
    this.opposite.done = true
    this.#relay.finished()
  }

  /**
   * The target is gone. The source gets FIN behind all that it is owed, and what it still sends is thrown away, until
   * it has finished too. `flushed` says that its FIN is out already.
   */
  discard(flushed: boolean, gone: () => void): void {
    let ended = this.source.socket.readableEnded
    let finished = flushed
    let budget = DISCARD_BYTES_MAX
    const settle = () => {
      if (!ended || !finished) return
      this.source.close()
      gone()
    }
    this.source.read({
      data: (chunk) => {
        budget -= chunk.length
        if (budget < 0) this.source.socket.pause()
      },
      end: () => {
        ended = true
        settle()
      },
      finish: () => {
        finished = true
        settle()
      },
      reset: gone,
      drain: () => {}
    })
    this.source.socket.end()
    this.source.socket.resume()
    settle()
  }
}
