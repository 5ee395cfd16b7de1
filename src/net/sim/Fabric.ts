/**
 * What all the hosts of a simulated network share: its time, its chance, who listens where, and what becomes of dials.
 */
import type { Random } from "effect"
import type { ListenAddress } from "../../snapshot/Endpoint.ts"
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
    while (this.#isTaken({ ip: undefined, port: this.#port }))
    return this.#port
  }

  /** False when another listener has the address. */
  bind(address: ListenAddress, listener: SimListener): boolean {
    if (this.#isTaken(address)) return false
    this.#listeners.set(keyOf(address), listener)
    return true
  }

  unbind(address: ListenAddress): void {
    this.#listeners.delete(keyOf(address))
  }

  listenerAt(address: SocketAddress): SimListener | undefined {
    const listener = this.#listeners.get(keyOf(address)) ?? this.#listeners.get(keyOf({ ...address, ip: undefined }))
    return listener?.speaks(address.ip.family) === true ? listener : undefined
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

  /** As on Linux, "all addresses" and a single one do not go together on one port. */
  #isTaken({ ip, port }: ListenAddress): boolean {
    if (ip !== undefined) {
      return this.#listeners.has(keyOf({ ip, port })) || this.#listeners.has(keyOf({ ip: undefined, port }))
    }
    for (const listener of this.#listeners.values()) if (listener.address.port === port) return true
    return false
  }
}

const keyOf = ({ ip, port }: ListenAddress): string =>
  ip === undefined ? `:${port}` : formatSocketAddress({ ip, port })

/** The ephemeral ports of Linux. */
const PORT_MIN = 32_768
const PORT_MAX = 60_999
