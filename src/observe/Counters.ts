/**
 * What the data plane counts: plain numbers that it adds to, and that a metrics endpoint reads when it is scraped.
 *
 * Those who count hold the object of their listener or backend, so that adding is one addition. Nothing here is reset;
 * a listener's series goes when it is forgotten, which is for whoever removes the listener to do, and a backend's or a
 * hostname's with the last route that names it. What a forgotten listener has blocked stays in the firewall's totals, which have no
 * listener and must not go down.
 */
import { Context, Layer } from "effect"
import { OUTCOMES, type Outcome } from "../pipeline/Outcome.ts"
import { DurationHistogram } from "./Histogram.ts"
import { RequestCounters } from "./RequestCounters.ts"

export class Counters extends Context.Service<
  Counters,
  {
    /** The counters of a listener; the same object for the same address until that is forgotten. */
    listener(addr: string): ListenerCounters
    /** One more route names the backend: its dials, the same object for as long as any route does. */
    retainBackend(addr: string): DialHistogram
    /** One route less does. */
    releaseBackend(addr: string): void
    /** One more L7 route is for the hostname, on whichever listener: its requests, as `retainBackend` does. */
    retainHostname(hostname: string): RequestCounters
    /** One route less is. */
    releaseHostname(hostname: string): void
    /** Ends the listener's series. Connections that still drain go on counting on the object they hold. */
    forgetListener(addr: string): void
    readonly listeners: ReadonlyMap<string, ListenerCounters>
    readonly backends: ReadonlyMap<string, DialHistogram>
    /** Of the hostnames that are served on L7. */
    readonly hostnames: ReadonlyMap<string, RequestCounters>
    /** Connections the firewall has blocked since the start, by reason. */
    firewallBlocked(): Readonly<Record<BlockReason, number>>
  }
>()("mc-proxy/observe/Counters") {
  static readonly layer: Layer.Layer<Counters> = Layer.sync(Counters, () => makeCounters())
}

/** The counters of one listener. `connectionsTotal` counts every accept, `closed` every end. */
export class ListenerCounters {
  connectionsTotal = 0
  readonly closed: Record<Outcome, number> = zeroOutcomes()
  bytesFromClient = 0
  bytesFromBackend = 0

  /** Connections accepted that have not ended. */
  get active(): number {
    let active = this.connectionsTotal
    for (const outcome of OUTCOMES) active -= this.closed[outcome]
    return active
  }
}

/** Upper bounds of the buckets, inclusive: from a backend on the same machine to one that hardly answers. */
export const DIAL_BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000] as const

/** How long dials took. */
export class DialHistogram extends DurationHistogram {
  constructor() {
    super(DIAL_BUCKETS_MS)
  }
}

/** Why the firewall blocks, in a metric's words. */
export type BlockReason = "ip" | "cidr" | "country" | "rate_limit"

const zeroOutcomes = (): Record<Outcome, number> => {
  const closed: Partial<Record<Outcome, number>> = {}
  for (const outcome of OUTCOMES) closed[outcome] = 0
  return closed as Record<Outcome, number>
}

const makeCounters = (): Counters["Service"] => {
  const listeners = new Map<string, ListenerCounters>()
  const backends = new SharedSeries(DialHistogram)
  const hostnames = new SharedSeries(RequestCounters)
  /** Forgotten listeners: those with connections still, and what the others have blocked. */
  const draining = new Set<ListenerCounters>()
  const gone = { ip: 0, cidr: 0, country: 0, rate_limit: 0 }

  const settleDrained = () => {
    for (const counters of draining) {
      if (counters.active > 0) continue
      draining.delete(counters)
      addBlocked(gone, counters)
    }
  }

  return Counters.of({
    listener: (addr) => getOrCreate(listeners, addr, ListenerCounters),
    retainBackend: (addr) => backends.retain(addr),
    releaseBackend: (addr) => backends.release(addr),
    retainHostname: (hostname) => hostnames.retain(hostname),
    releaseHostname: (hostname) => hostnames.release(hostname),
    forgetListener(addr) {
      const counters = listeners.get(addr)
      if (counters === undefined) return
      listeners.delete(addr)
      draining.add(counters)
      settleDrained()
    },
    listeners,
    backends: backends.byName,
    hostnames: hostnames.byName,
    firewallBlocked() {
      settleDrained()
      const blocked = { ...gone }
      for (const counters of draining) addBlocked(blocked, counters)
      for (const counters of listeners.values()) addBlocked(blocked, counters)
      return blocked
    }
  })
}

/** Series that several routes share, each for as long as one of them is there. */
class SharedSeries<A> {
  readonly byName = new Map<string, A>()
  readonly #routesOf = new Map<string, number>()
  readonly #Type: new () => A

  constructor(Type: new () => A) {
    this.#Type = Type
  }

  retain(name: string): A {
    this.#routesOf.set(name, (this.#routesOf.get(name) ?? 0) + 1)
    return getOrCreate(this.byName, name, this.#Type)
  }

  release(name: string): void {
    const routes = (this.#routesOf.get(name) ?? 0) - 1
    if (routes > 0) {
      this.#routesOf.set(name, routes)
    } else {
      this.#routesOf.delete(name)
      this.byName.delete(name)
    }
  }
}

const addBlocked = (blocked: Record<BlockReason, number>, { closed }: ListenerCounters): void => {
  blocked.ip += closed.blocked_ip
  blocked.cidr += closed.blocked_cidr
  blocked.country += closed.blocked_country
  blocked.rate_limit += closed.rate_limited
}

const getOrCreate = <A>(map: Map<string, A>, key: string, Type: new () => A): A => {
  const found = map.get(key)
  if (found !== undefined) return found
  const created = new Type()
  map.set(key, created)
  return created
}
