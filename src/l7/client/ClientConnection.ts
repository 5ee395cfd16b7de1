/**
 * A client's connection behind the TLS handshake, whichever version of HTTP is spoken on it: the requests that run, the
 * deadlines, and the end.
 *
 * Node enforces no deadline on a stream that it was given, so all of them are kept here, by one timer that is set anew
 * only when it fires or something is due before. Requests run in fibers of the connection's scope; when the stream
 * closes, whoever closed it, those that are left end as `gone`.
 */
import { Deferred, Effect, FiberSet } from "effect"
import type { Fiber, Scope } from "effect"
import type { Duplex } from "node:stream"
import type { Connection } from "../../net/Connection.ts"
import type { RelayEnd } from "../../net/Network.ts"
import { acquireScoped } from "../../net/Scoped.ts"
import { Running } from "../../pipeline/Running.ts"
import type { Settings } from "../../pipeline/Settings.ts"
import type { Exchange } from "../Exchange.ts"
import { LiveRequest } from "../LiveRequest.ts"
import { serveRequest, type RequestGrounds } from "../RequestPipeline.ts"
import type { Retirable } from "../VirtualHost.ts"

/** The side of a connection that depends on the version of HTTP. */
export interface Protocol {
  /** Takes no requests any more, says so, and closes the connection once those that run are over. */
  finish(): void
  /** Closes the connection now, whatever runs on it, saying so where there is a way to. */
  close(): void
  /** No request's head has become whole in time: answers so, and closes. */
  refuseLate(): void
  /** The client has finished its side. Who has gone reads no answers either, so that this closes, but for a WebSocket. */
  clientEnded(): void
}

export interface ClientStream {
  /** The plain bytes. */
  readonly duplex: Duplex
  /** What they are carried on. */
  readonly socket: Connection
}

type Run = (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>

type Timeouts = Pick<
  Settings["Service"],
  "headerTimeoutMs" | "responseTimeoutMs" | "idleTimeoutMs" | "halfCloseTimeoutMs"
>

export class ClientConnection implements Retirable {
  /** Among those of its virtual host. */
  previous: Retirable | undefined
  next: Retirable | undefined
  readonly duplex: Duplex
  readonly socket: Connection
  readonly grounds: RequestGrounds
  readonly #timeouts: Timeouts
  readonly #run: Run
  readonly #fork: Run
  readonly #ended = Deferred.makeUnsafe<RelayEnd>()
  readonly #running = new Running<LiveRequest>()
  #protocol: Protocol | undefined
  #isRetired = false
  /** One side has finished, so that the other has to. */
  #isClosing = false
  #end: RelayEnd | undefined
  #headDeadline = Infinity
  /** All bytes either way when they were last looked at, and since when they are so many. */
  #bytes = 0
  #quietSince: number
  #dueAt = Infinity
  #timer: Fiber.Fiber<unknown> | undefined

  constructor({ duplex, socket }: ClientStream, grounds: RequestGrounds, timeouts: Timeouts, run: Run, fork: Run) {
    this.duplex = duplex
    this.socket = socket
    this.grounds = grounds
    this.#timeouts = timeouts
    this.#run = run
    this.#fork = fork
    this.#quietSince = grounds.now()
    duplex.on("error", () => (this.#end ??= "reset"))
    duplex.on("end", () => this.#clientEnded())
    duplex.on("close", () => this.#closed())
  }

  /** To be called once, when the protocol listens. A request's head is awaited from here on. */
  start(protocol: Protocol): void {
    this.#protocol = protocol
    this.headBegins()
    this.#look()
    if (this.#isRetired) protocol.finish()
    if (this.duplex.destroyed) this.#closed()
    // A client may go as the handshake ends, before anybody listens.
    else if (this.duplex.readableEnded) this.#clientEnded()
  }

  /** How it ended, once it has. */
  get ended(): Effect.Effect<RelayEnd> {
    return Deferred.await(this.#ended)
  }

  /** How many requests run. */
  get running(): number {
    return this.#running.size
  }

  /** How long a client may go on sending what nobody waits for. */
  get lingerMs(): number {
    return this.#timeouts.halfCloseTimeoutMs
  }

  get isRetired(): boolean {
    return this.#isRetired
  }

  /** Finishes what runs, and closes. */
  retire(): void {
    if (this.#isRetired) return
    this.#isRetired = true
    this.#protocol?.finish()
  }

  /** A request's head is on its way, and has to become whole in time. */
  headBegins(): void {
    if (this.#headDeadline < Infinity) return
    this.#headDeadline = this.grounds.now() + this.#timeouts.headerTimeoutMs
    this.#wakeBy(this.#headDeadline)
  }

  /** A request's head is whole: runs it. `onOver` is called once the request is answered or broken off. */
  run(exchange: Exchange, onOver: () => void): LiveRequest {
    this.#headDeadline = Infinity
    const { responseTimeoutMs } = this.#timeouts
    const request = new LiveRequest(exchange, this.grounds.now())
    if (responseTimeoutMs > 0) this.#wakeBy(request.startedAt + responseTimeoutMs)
    this.#running.add(request)
    const fiber = this.#run(serveRequest(request, this.grounds))
    request.runBy(fiber)
    fiber.addObserver(() => {
      this.#running.remove(request)
      onOver()
    })
    return request
  }

  /** One side has finished; the other gets until `half_close_timeout` after the last byte. `end`: how that counts. */
  closing(end?: RelayEnd): void {
    this.#end ??= end
    if (this.#isClosing) return
    this.#isClosing = true
    this.#quietSince = this.grounds.now()
    this.#wakeBy(this.#quietSince + this.#timeouts.halfCloseTimeoutMs / LOOKS)
  }

  /**
   * Nothing follows what has been sent. It is read on for a while, since to close at once could take the answer away from
   * a client that is still sending (RFC 9112 9.6).
   */
  linger(): void {
    const { duplex } = this
    this.closing("done")
    if (!duplex.writableEnded) duplex.end()
    duplex.resume()
    this.after(this.lingerMs, () => duplex.destroy())
  }

  /** Resets it, which is all that tells a client of HTTP/1.0 that a body is not whole. */
  reset(): void {
    this.#end ??= "reset"
    this.socket.reset()
    this.duplex.destroy()
  }

  /** Runs `later` once so much time has passed, unless the connection is over by then. Gives a way to take that back. */
  after(ms: number, later: () => void): () => void {
    const fiber = this.#fork(Effect.delay(Effect.sync(later), ms))
    return () => fiber.interruptUnsafe()
  }

  #clientEnded(): void {
    this.closing()
    this.#protocol?.clientEnded()
  }

  #closed(): void {
    for (const request of this.#running.all()) request.end("gone")
    Deferred.doneUnsafe(this.#ended, Effect.succeed(this.#end ?? "done"))
  }

  /** Makes sure that somebody looks at `at`. */
  #wakeBy(at: number): void {
    if (at >= this.#dueAt) return
    this.#timer?.interruptUnsafe()
    this.#dueAt = at
    this.#timer = this.#fork(Effect.delay(this.#lookLater, Math.max(0, at - this.grounds.now())))
  }

  /** Interrupts the requests that run, and waits for them. */
  get requestsEnded(): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.forEach(this.#running.all(), (request) => request.interrupted, { discard: true })
    )
  }

  readonly #lookLater = Effect.sync(() => this.#look())

  #look(): void {
    this.#timer = undefined
    this.#dueAt = Infinity
    if (this.duplex.destroyed) return
    const now = this.grounds.now()
    if (now >= this.#headDeadline) {
      this.#headDeadline = Infinity
      this.#protocol?.refuseLate()
    }
    this.#endServed(now)
    this.#wakeBy(Math.min(this.#headDeadline, this.#endWaiting(now), this.#endQuiet(now)))
  }

  /**
   * Ends those whose client has all, and whose backend does not come to its end for `half_close_timeout`. They run beside
   * those that the client has open, so that nothing else bounds them.
   */
  #endServed(now: number): void {
    for (const request of this.#running.all()) {
      if (!request.isServed) continue
      request.servedSince ??= now
      if (now - request.servedSince >= this.#timeouts.halfCloseTimeoutMs) request.download?.conclude()
    }
  }

  /** Ends those that wait for their backend too long; gives when the next will. */
  #endWaiting(now: number): number {
    const { responseTimeoutMs } = this.#timeouts
    if (responseTimeoutMs === 0) return Infinity
    let next = Infinity
    for (const request of this.#running.all()) {
      if (request.status !== undefined || request.ending !== undefined) continue
      const dueAt = (request.waitingSince ?? now) + responseTimeoutMs
      if (dueAt <= now) request.end("timed_out")
      else next = Math.min(next, dueAt)
    }
    return next
  }

  /** Ends the connection where nothing has moved for too long; gives when to look again. */
  #endQuiet(now: number): number {
    const limit = this.#isClosing ? this.#timeouts.halfCloseTimeoutMs : this.#timeouts.idleTimeoutMs
    const bytes = this.socket.bytesRead + this.socket.bytesWritten
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#quietSince = now
    } else if (now - this.#quietSince >= limit) {
      if (this.#isClosing) {
        this.#end ??= "half_close_timeout"
        this.reset()
        return Infinity
      }
      this.closing("idle_timeout")
      this.#protocol?.close()
      return now + this.#timeouts.halfCloseTimeoutMs / LOOKS
    }
    return Math.min(now + limit / LOOKS, this.#quietSince + limit)
  }
}

/** How often within a limit it is looked whether bytes have moved: it is exceeded by an eighth at most. */
const LOOKS = 8

/** Serves the connection until it is closed: its requests run in the scope. */
export const serveClient = Effect.fnUntraced(function* (
  stream: ClientStream,
  grounds: RequestGrounds,
  timeouts: Timeouts,
  speak: (connection: ClientConnection) => Protocol
): Effect.fn.Return<ClientConnection, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never, unknown, never>()
  const connection = new ClientConnection(stream, grounds, timeouts, Effect.runForkWith(yield* Effect.context()), fork)
  yield* Effect.addFinalizer(() => connection.requestsEnded)
  yield* acquireScoped(
    Effect.sync(() => grounds.host.enter(connection)),
    () => grounds.host.leave(connection)
  )
  connection.start(speak(connection))
  return connection
})
