/**
 * The record of one accepted connection, from accept to its outcome.
 *
 * The pipeline notes here what its stages find; the registry, the access log and the admin API read it. Whoever ends
 * the connection from outside does so by `end`, and the first outcome set is the connection's.
 */
import type { Fiber } from "effect"
import type { Connection } from "../net/Connection.ts"
import type { ListenerCounters } from "../observe/Counters.ts"
import type { ConnectionTrace } from "./ConnectionTrace.ts"
import type { Outcome } from "./Outcome.ts"
import type { Routed } from "./Route.ts"
import type { Neighbour } from "./Running.ts"

export class LiveConnection implements Neighbour<LiveConnection> {
  /** Among those of the data plane. */
  previous: LiveConnection | undefined
  next: LiveConnection | undefined
  readonly id: string
  /** The listener's `addr`. */
  readonly listener: string
  /** The client's socket. */
  readonly socket: Connection
  /** When it was accepted: milliseconds since 1970, and by the network's clock. */
  readonly openedAt: number
  readonly acceptedAt: number
  /** What the stages have found so far. */
  known: Partial<Routed> = {}
  /** The backend's socket, once dialled. */
  backend: Connection | undefined
  dialMs: number | undefined
  /** On L7, where its bytes are those of its own socket, TLS included. */
  isTerminated = false
  /** Bytes of the PROXY header sent to the backend; they are ours, not the client's. */
  proxyHeaderBytes = 0
  /** Where the connection is traced. */
  trace: ConnectionTrace | undefined
  #counters: ListenerCounters | undefined
  /** What of its bytes is in the listener's totals. */
  #countedFromClient = 0
  #countedFromBackend = 0
  #outcome: Outcome | undefined
  #retired = false
  #onRetire: (() => void) | undefined
  #fiber: Fiber.Fiber<unknown, unknown> | undefined

  constructor(id: string, listener: string, socket: Connection, openedAt: number, acceptedAt: number) {
    this.id = id
    this.listener = listener
    this.socket = socket
    this.openedAt = openedAt
    this.acceptedAt = acceptedAt
  }

  /** The fiber that runs the pipeline takes the connection on; where it has been ended already, it ends. */
  runBy(fiber: Fiber.Fiber<unknown, unknown>, counters: ListenerCounters): void {
    this.#fiber = fiber
    this.#counters = counters
    if (this.#outcome !== undefined) fiber.interruptUnsafe()
  }

  /** Ends the connection now, whatever it is doing: the outcome first, then the interruption. */
  end(outcome: Outcome): void {
    this.#outcome ??= outcome
    this.#fiber?.interruptUnsafe()
  }

  /** Sets the outcome unless it has one, and gives the one it has. */
  settle(outcome: Outcome): Outcome {
    return (this.#outcome ??= outcome)
  }

  /** On L7: takes nothing more, and ends when what is running has finished. A relay goes on. */
  retire(): void {
    if (this.#retired) return
    this.#retired = true
    this.#onRetire?.()
  }

  get retired(): boolean {
    return this.#retired
  }

  /** Calls `listener` when the connection is to retire. */
  onRetire(listener: () => void): void {
    this.#onRetire = listener
  }

  /** Adds to the listener's totals what has been transferred since they were last brought up to date. */
  countBytes(): void {
    if (this.#counters === undefined) return
    const fromClient = this.bytesFromClient
    const fromBackend = this.bytesFromBackend
    this.#counters.bytesFromClient += fromClient - this.#countedFromClient
    this.#counters.bytesFromBackend += fromBackend - this.#countedFromBackend
    this.#countedFromClient = fromClient
    this.#countedFromBackend = fromBackend
  }

  /** What the backend's kernel has accepted of the client's bytes, the hello included; on L7 what the client has sent. */
  get bytesFromClient(): number {
    if (this.isTerminated) return this.socket.bytesRead
    return this.backend === undefined ? 0 : Math.max(0, this.backend.bytesWritten - this.proxyHeaderBytes)
  }

  /** What the client's kernel has accepted of the backend's bytes. */
  get bytesFromBackend(): number {
    return this.socket.bytesWritten
  }
}
