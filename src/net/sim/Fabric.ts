/**
 * What all the hosts of a simulated network share: its time, its chance, who listens where, and what becomes of dials.
 */
import type { Random } from "effect"
import { formatSocketAddress, type SocketAddress } from "../SocketAddress.ts"
import type { IpAddress } from "../IpAddress.ts"
import type { Link } from "./Link.ts"
import type { SimListener } from "./SimListener.ts"
import type { NameAnswer } from "./SimNames.ts"
import type { Timeline } from "./Timeline.ts"
import type { Trace } from "./Trace.ts"

/**
 * What becomes of dials to an address, whoever listens there: `refused` and `unreachable` are answers, `silent` is
 * none, also for those who are dialling already.
 */
export type DialFate = "refused" | "unreachable" | "silent"

export class Fabric {
  readonly timeline: Timeline
  readonly random: Random.Random
  readonly trace: Trace | undefined
  /** Where a connection has none of its own. */
  readonly link: Link
  readonly names = new Map<string, NameAnswer>()
  readonly #fates = new Map<string, DialFate>()
  /** By each address and port that reaches one: an address is one machine's, or that of all who share it. */
  readonly #listeners = new Map<string, SimListener>()
  #connections = 0
  #port = PORT_MIN
  /** Sockets of all hosts, their listeners' too. */
  openSockets = 0

  constructor(timeline: Timeline, random: Random.Random, link: Link, trace: Trace | undefined) {
    this.timeline = timeline
    this.random = random
    this.link = link
    this.trace = trace
  }

  nextConnection(): number {
    return ++this.#connections
  }

  /** A port for a dialler, or for a listener that leaves the choice: that of no listener. */
  freePort(): number {
    do this.#port = this.#port < PORT_MAX ? this.#port + 1 : PORT_MIN
    while (this.#isListenedOn(this.#port))
    return this.#port
  }

  /** False when another listener has one of its addresses. */
  bind(listener: SimListener): boolean {
    if (listener.reachedAt.some((address) => this.listenerAt(address) !== undefined)) return false
    for (const address of listener.reachedAt) this.#listeners.set(formatSocketAddress(address), listener)
    return true
  }

  unbind(listener: SimListener): void {
    for (const address of listener.reachedAt) this.#listeners.delete(formatSocketAddress(address))
  }

  listenerAt(address: SocketAddress): SimListener | undefined {
    return this.#listeners.get(formatSocketAddress(address))
  }

  /** Of an address and a port, or of an address with all its ports; `undefined` takes it back. */
  setFate(address: SocketAddress | IpAddress, fate: DialFate | undefined): void {
    const key = "port" in address ? formatSocketAddress(address) : address.text
    if (fate === undefined) this.#fates.delete(key)
    else this.#fates.set(key, fate)
  }

  fateOf(address: SocketAddress): DialFate | undefined {
    return this.#fates.get(formatSocketAddress(address)) ?? this.#fates.get(address.ip.text)
  }

  #isListenedOn(port: number): boolean {
    for (const listener of this.#listeners.values()) if (listener.address.port === port) return true
    return false
  }
}

/** The ephemeral ports of Linux. */
const PORT_MIN = 32_768
const PORT_MAX = 60_999
