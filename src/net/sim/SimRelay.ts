/**
 * Copies between two simulated connections until both ways have finished, out of the one's receive buffer into the
 * other's send buffer: nothing waits in between.
 *
 * A simulated kernel tells what it has delivered, so that after a reset the other side gets RST right behind what it is
 * owed, and what a slow reader takes counts as a byte. The relay ends each side as its result says it ended; an
 * interruption leaves both to their owner.
 */
import { Effect } from "effect"
import type { RelayEnd, RelayTimeouts } from "../Network.ts"
import type { QueuedEvent } from "./EventQueue.ts"
import type { SimConnection } from "./SimConnection.ts"
import type { SocketUser } from "./SimSocket.ts"
import type { Timeline } from "./Timeline.ts"

export const relay = (
  client: SimConnection,
  backend: SimConnection,
  timeouts: RelayTimeouts,
  timeline: Timeline
): Effect.Effect<RelayEnd> =>
  Effect.callback<RelayEnd>((resume) => {
    const running = new SimRelay(client, backend, timeouts, timeline, (end) => resume(Effect.succeed(end)))
    running.start()
    return Effect.sync(() => running.stop())
  })

class SimRelay implements SocketUser {
  readonly #timeouts: RelayTimeouts
  readonly #timeline: Timeline
  readonly #finish: (end: RelayEnd) => void
  readonly #directions: readonly [Direction, Direction]
  #timer: QueuedEvent | undefined
  #lastByteAt: number
  #halfClosed = false
  /** One side has reset, and the other is not told before it has got what it is owed. */
  #resetting = false
  #stopped = false

  constructor(
    client: SimConnection,
    backend: SimConnection,
    timeouts: RelayTimeouts,
    timeline: Timeline,
    finish: (end: RelayEnd) => void
  ) {
    this.#timeouts = timeouts
    this.#timeline = timeline
    this.#finish = finish
    this.#directions = [new Direction(client, backend), new Direction(backend, client)]
    this.#lastByteAt = timeline.now()
  }

  start(): void {
    for (const { source } of this.#directions) source.handTo(this)
    this.#arm()
    this.#step()
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#timeline.cancel(this.#timer)
    for (const { source } of this.#directions) source.takeBack()
  }

  received(): void {
    this.#lastByteAt = this.#timeline.now()
    this.#step()
  }

  acknowledged(): void {
    this.received()
  }

  lost(): void {
    this.#step()
  }

  #step(): void {
    if (this.#stopped) return
    // After a reset only what is owed goes on.
    for (const direction of this.#directions) if (!direction.target.failed) direction.pass()
    if (this.#directions.every(({ done }) => done)) return this.#end("done")
    if (this.#directions.some(({ source }) => source.failed)) return this.#settleReset()
    if (this.#halfClosed || !this.#directions.some(({ source }) => source.socket.ended)) return
    this.#halfClosed = true
    this.#arm()
  }

  /** Ends once the survivor has everything that came before the reset, which is at once where nothing came. */
  #settleReset(): void {
    const [lost, ...more] = this.#directions.filter(({ source }) => source.failed)
    if (lost === undefined || more.length > 0 || !lost.isOwed) return this.#end("reset")
    if (this.#resetting) return
    this.#resetting = true
    this.#timeline.cancel(this.#timer)
    const latest = this.#timeline.now() + this.#timeouts.halfCloseTimeoutMs
    this.#timer = this.#timeline.at(latest, () => this.#end("reset"))
  }

  #end(end: RelayEnd): void {
    this.stop()
    // When it is done both have closed by themselves.
    if (end !== "done") for (const { source } of this.#directions) source.reset()
    this.#finish(end)
  }

  #arm(): void {
    const { halfCloseTimeoutMs, idleTimeoutMs } = this.#timeouts
    const timeoutMs = this.#halfClosed ? Math.min(halfCloseTimeoutMs, idleTimeoutMs) : idleTimeoutMs
    this.#timeline.cancel(this.#timer)
    this.#timer = this.#timeline.at(this.#lastByteAt + timeoutMs, this.#onTimer)
  }

  readonly #onTimer = (): void => {
    const { halfCloseTimeoutMs, idleTimeoutMs } = this.#timeouts
    if (this.#halfClosed && this.#timeline.isDue(this.#lastByteAt + halfCloseTimeoutMs)) {
      return this.#end("half_close_timeout")
    }
    if (this.#timeline.isDue(this.#lastByteAt + idleTimeoutMs)) return this.#end("idle_timeout")
    this.#arm()
  }
}

/** What one side sends, on its way to the other. */
class Direction {
  readonly source: SimConnection
  readonly target: SimConnection
  /** Our FIN to the target is sent. */
  done = false
  #passed = false

  constructor(source: SimConnection, target: SimConnection) {
    this.source = source
    this.target = target
  }

  pass(): void {
    if (this.source.passTo(this.target)) this.#passed = true
    if (this.done || !this.source.ended) return
    this.done = true
    this.target.socket.finish()
  }

  /** Something came from the source, and the target's kernel does not have all of it. */
  get isOwed(): boolean {
    return this.source.unread > 0 || (this.#passed && !this.target.socket.delivered)
  }
}
