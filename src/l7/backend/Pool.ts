/**
 * The connections to one backend, and the requests that wait for one.
 *
 * A request goes to a connection that is free, or waits, by `connect_timeout`, for one that is dialled or becomes free.
 * Each connection has a fiber that dials it, holds its socket, and ends with it; a caller that leaves takes its request
 * back, and the connection that was dialled for it serves the next.
 */
import { Cause, Deferred, Effect, Exit, Option, type Scope } from "effect"
import { Running } from "../../pipeline/Running.ts"
import type { BackendFailed, BackendResponse } from "./Backends.ts"
import type { BackendConnection, ConnectionOwner } from "./BackendConnection.ts"
import { unavailable, type PendingRequest } from "./PendingRequest.ts"

export interface PoolOptions {
  /** How many requests one connection usually takes at a time, and how many connections there may be. */
  readonly requestsEach: number
  readonly connectionsMax: number
  readonly connectTimeoutMs: number
  /** Dials a connection, which tells `owner` of itself. The scope owns it. */
  readonly connect: (owner: ConnectionOwner) => Effect.Effect<BackendConnection, BackendFailed, Scope.Scope>
  /** Runs the fiber of a connection, for as long as the pool lives. */
  readonly run: (fiber: Effect.Effect<void>) => void
  /** Nothing is open or waiting any more. */
  readonly onEmpty: () => void
}

/** Who waits beyond that is refused at once: so many can only mean that the backend does not keep up. */
const WAITING_MAX = 4096

export class Pool {
  takesWebSockets = false
  readonly #options: PoolOptions
  /** Those with room, and some that had; the one used last is last, so that the others can become idle. */
  readonly #free: Array<Member> = []
  readonly #waiting = new Running<PendingRequest>()
  readonly #onWebSockets = new Set<() => void>()
  #connections = 0
  #dialling = 0

  constructor(options: PoolOptions) {
    this.#options = options
  }

  send(request: PendingRequest): Effect.Effect<BackendResponse, BackendFailed> {
    return Effect.suspend(() => {
      const connection = this.#takeFree()
      if (connection !== undefined) {
        connection.send(request)
        return request.answer
      }
      return this.#waiting.size < WAITING_MAX ? this.#wait(request) : Effect.fail(TOO_MANY)
    })
  }

  get isEmpty(): boolean {
    return this.#connections === 0 && this.#dialling === 0 && this.#waiting.size === 0
  }

  /** Calls `listener` once WebSockets are taken; gives a way to take that back. */
  onWebSockets(listener: () => void): () => void {
    this.#onWebSockets.add(listener)
    return () => void this.#onWebSockets.delete(listener)
  }

  #wait(request: PendingRequest): Effect.Effect<BackendResponse, BackendFailed> {
    return Effect.callback<void>((resume) => {
      request.onTaken(() => resume(Effect.void))
      this.#waiting.add(request)
      this.#dialForWaiting()
      return Effect.sync(() => {
        if (!this.#waiting.has(request)) return
        this.#waiting.remove(request)
        if (this.isEmpty) this.#options.onEmpty()
      })
    }).pipe(
      Effect.timeoutOrElse({ duration: this.#options.connectTimeoutMs, orElse: () => Effect.fail(LATE) }),
      Effect.flatMap(() => request.answer)
    )
  }

  /** A connection that has room, the one used last. */
  #takeFree(): BackendConnection | undefined {
    while (true) {
      const member = this.#free.at(-1)
      if (member === undefined) return undefined
      if (member.connection.free > 0) return member.connection
      this.#free.pop()
      member.isListed = false
    }
  }

  #dialForWaiting(): void {
    const { connectionsMax, requestsEach } = this.#options
    while (this.#dialling * requestsEach < this.#waiting.size && this.#connections + this.#dialling < connectionsMax) {
      this.#dialling++
      this.#options.run(this.#runConnection())
    }
  }

  /** The life of one connection. */
  #runConnection(): Effect.Effect<void> {
    const ended = Deferred.makeUnsafe<void>()
    let member: Member | undefined
    const owner: ConnectionOwner = {
      freed: () => {
        if (member !== undefined) this.#serve(member)
      },
      ended: () => void Deferred.doneUnsafe(ended, Effect.void)
    }
    return this.#options.connect(owner).pipe(
      Effect.flatMap((connection) => {
        member = { connection, isListed: false }
        this.#enter(member)
        // Interrupted, it is closed before its scope resets what is open still: nobody waits for anything on it any more.
        return Effect.onInterrupt(Deferred.await(ended), () => Effect.sync(() => connection.destroy()))
      }),
      Effect.scoped,
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (member === undefined) this.#failDial(failureOf(exit))
          else this.#leave(member)
          // An interruption ends the pool.
          if (!Exit.hasInterrupts(exit)) this.#dialForWaiting()
          if (this.isEmpty) this.#options.onEmpty()
        })
      ),
      Effect.tapDefect((defect) => Effect.logError("a connection to a backend met a defect of the proxy", defect)),
      Effect.exit,
      Effect.asVoid
    )
  }

  /** Who waited for this dial gets its answer; who asks because of that waits for the next. */
  #failDial(failed: BackendFailed): void {
    this.#dialling--
    const waited = this.#waiting.all().slice(0, this.#options.requestsEach)
    for (const request of waited) this.#waiting.remove(request)
    for (const request of waited) request.fail(failed)
  }

  #enter(member: Member): void {
    this.#dialling--
    this.#connections++
    this.#noteWebSockets(member.connection)
    const isUseful = member.connection.free > 0
    this.#serve(member)
    // It may take fewer at a time than connections of its kind usually do.
    if (isUseful) this.#dialForWaiting()
  }

  #leave(member: Member): void {
    member.connection.destroy()
    this.#connections--
    const index = this.#free.indexOf(member)
    if (index >= 0) this.#free.splice(index, 1)
  }

  /**
   * Gives it to those who wait, and what is left to those who come. It is listed first: who is answered within the loop
   * may ask again at once, and would have another connection dialled beside one that has room.
   */
  #serve(member: Member): void {
    const { connection } = member
    if (connection.free === 0) return
    if (!member.isListed) {
      member.isListed = true
      this.#free.push(member)
    }
    while (connection.free > 0) {
      const request = this.#waiting.shift()
      if (request === undefined) return
      connection.send(request)
    }
  }

  #noteWebSockets({ takesWebSockets }: BackendConnection): void {
    this.takesWebSockets = takesWebSockets
    if (!takesWebSockets) return
    for (const listener of this.#onWebSockets) listener()
    this.#onWebSockets.clear()
  }
}

/** A connection, and whether it is among those with room. */
interface Member {
  readonly connection: BackendConnection
  isListed: boolean
}

/** Why there is no connection; an interruption and a defect are nobody's answer but have to be one. */
const failureOf = (exit: Exit.Exit<void, BackendFailed>): BackendFailed =>
  (Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined) ?? NO_CONNECTION

const NO_CONNECTION = unavailable("there is no connection to the backend", false)
const TOO_MANY = unavailable("too many requests wait for a connection to the backend", false)
const LATE: BackendFailed = {
  _tag: "timed_out",
  unprocessed: false,
  reason: "no connection to the backend was free in time"
}
