/**
 * Reaching an address of a simulated network: SYN, SYN and ACK, ACK, with what can come in between.
 *
 * A SYN that is dropped, for want of room in a backlog or because nobody answers there, is sent again after a second,
 * then after twice that, and so on. Who gives up in the middle resets what there is on the other side already.
 */
import { Effect } from "effect"
import type { DialError } from "../Network.ts"
import { formatSocketAddress, type SocketAddress } from "../SocketAddress.ts"
import type { QueuedEvent } from "./EventQueue.ts"
import type { Fabric } from "./Fabric.ts"
import type { Link } from "./Link.ts"
import type { SimListener } from "./SimListener.ts"
import { SimConnection } from "./SimConnection.ts"
import { SimSocket } from "./SimSocket.ts"

export interface DialRequest {
  readonly from: SocketAddress
  readonly to: SocketAddress
  /** What it does not say, the listener's says, and then the network's. */
  readonly link: Partial<Link>
  /** Of the network's `now()`. */
  readonly deadline: number
  /** Gives the descriptor back. */
  readonly free: () => void
}

/** When a dropped SYN is sent again (RFC 6298 2.1). */
const RETRY_MS = 1_000

/** One dial, from its first SYN on. Whoever makes it releases it. */
export class SimDial {
  readonly #fabric: Fabric
  readonly #to: SocketAddress
  readonly #near: SimSocket
  readonly #far: SimSocket
  readonly #deadline: QueuedEvent | undefined
  #retry: QueuedEvent | undefined
  #retryMs = RETRY_MS
  /** Whose backlog it takes a place in. */
  #listener: SimListener | undefined
  #connection: SimConnection | undefined
  #result: Effect.Effect<SimConnection, DialError> | undefined
  #resume: (result: Effect.Effect<SimConnection, DialError>) => void = () => {}

  constructor(fabric: Fabric, { from, to, deadline, link, free }: DialRequest) {
    this.#fabric = fabric
    this.#to = to
    const ownLink: Link = { ...fabric.link, ...fabric.listenerAt(to)?.link, ...link }
    ;[this.#near, this.#far] = SimSocket.pair(fabric, ownLink, from, to)
    this.#near.holdDescriptor(free)
    this.#near.trace("dial", 0, formatSocketAddress(to))
    if (deadline !== Infinity) {
      this.#deadline = fabric.timeline.at(deadline, () => this.#fail("dial_timeout", `no answer from ${this.#name}`))
    }
    this.#sendSyn()
  }

  /** Waits for the answer; interrupted, it gives up. */
  readonly connected: Effect.Effect<SimConnection, DialError> = Effect.callback<SimConnection, DialError>((resume) => {
    if (this.#result !== undefined) return resume(this.#result)
    this.#resume = resume
    return Effect.sync(() => this.#giveUp())
  })

  /** Gives up, or resets the connection if that has not finished. */
  release(): void {
    this.#giveUp()
    this.#connection?.reset()
  }

  #giveUp(): void {
    if (this.#result !== undefined) return
    this.#leave()
    this.#end(Effect.interrupt)
  }

  /** Frees the socket, and the place in the backlog if there is one. */
  #leave(): void {
    const listener = this.#listener
    if (listener === undefined) return this.#near.abandon()
    this.#near.signal(() => listener.dismiss())
    this.#near.reset()
  }

  get #name(): string {
    return formatSocketAddress(this.#to)
  }

  #sendSyn(): void {
    this.#near.signal(() => this.#greet())
  }

  /** SYN has come. */
  #greet(): void {
    if (this.#result !== undefined) return
    const fate = this.#fabric.fateOf(this.#to)
    const listener = this.#fabric.listenerAt(this.#to)
    if (fate === "unreachable") this.#answer(() => this.#fail("dial_failed", `${this.#name}: EHOSTUNREACH`))
    else if (fate === "refused" || (fate === undefined && listener === undefined)) {
      this.#answer(() => this.#fail("dial_failed", `${this.#name}: ECONNREFUSED`))
    } else if (fate === undefined && listener?.greet() === true) {
      this.#listener = listener
      this.#answer(() => this.#connect(listener))
    } else {
      const { timeline } = this.#fabric
      this.#retry = timeline.at(timeline.now() + this.#retryMs, () => this.#sendSyn())
      this.#retryMs *= 2
    }
  }

  #answer(arrive: () => void): void {
    this.#far.signal(() => {
      if (this.#result === undefined) arrive()
    })
  }

  /** SYN and ACK have come: this side is connected, and the other will be with our ACK. */
  #connect(listener: SimListener): void {
    this.#near.trace("connect", 0, formatSocketAddress(this.#near.local))
    this.#near.signal(() => listener.admit(this.#far))
    this.#connection = new SimConnection(this.#near, this.#fabric.timeline)
    this.#end(Effect.succeed(this.#connection))
  }

  #fail(_tag: DialError["_tag"], reason: string): void {
    this.#near.trace("dial_failed", 0, reason)
    this.#leave()
    this.#end(Effect.fail({ _tag, reason }))
  }

  #end(result: Effect.Effect<SimConnection, DialError>): void {
    this.#result = result
    this.#fabric.timeline.cancel(this.#deadline)
    this.#fabric.timeline.cancel(this.#retry)
    this.#resume(result)
  }
}
