/**
 * What the data plane counts: plain numbers that it adds to, and that a metrics endpoint reads when it is scraped.
 *
 * Those who count hold the object of their listener or backend, so that adding is one addition. Nothing here is reset;
 * a listener's series goes when it is forgotten, which is for whoever removes the listener to do, and a backend's with
 * the last route that names it. What a forgotten listener has blocked stays in the firewall's totals, which have no
 * listener and must not go down.
 */
import { Context, Layer } from "effect"
import { OUTCOMES, type Outcome } from "../pipeline/Outcome.ts"

export class Counters extends Context.Service<
  Counters,
  {
    /** The counters of a listener; the same object for the same address until that is forgotten. */
    listener(addr: string): ListenerCounters
    /** One more route names the backend: its dials, the same object for as long as any route does. */
    retainBackend(addr: string): DialHistogram
    /** One route less does. */
    releaseBackend(addr: string): void
    /** Ends the listener's series. Connections that still drain go on counting on the object they hold. */
    forgetListener(addr: string): void
    readonly listeners: ReadonlyMap<string, ListenerCounters>
    readonly backends: ReadonlyMap<string, DialHistogram>
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
export class DialHistogram {
  /** One count a bucket, not cumulative; the last is for what is beyond every bound. */
  readonly counts = new Float64Array(DIAL_BUCKETS_MS.length + 1)
  sumMs = 0

  observe(ms: number): void {
    let bucket = 0
    while (bucket < DIAL_BUCKETS_MS.length && ms > DIAL_BUCKETS_MS[bucket]!) bucket++
    this.counts[bucket]!++
    this.sumMs += ms
  }

  get count(): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
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
  const backends = new Map<string, DialHistogram>()
  /** How many routes name each backend. */
  const routesOf = new Map<string, number>()
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
    retainBackend(addr) {
      routesOf.set(addr, (routesOf.get(addr) ?? 0) + 1)
      return getOrCreate(backends, addr, DialHistogram)
    },
    releaseBackend(addr) {
      const routes = (routesOf.get(addr) ?? 0) - 1
      if (routes > 0) {
        routesOf.set(addr, routes)
      } else {
        routesOf.delete(addr)
        backends.delete(addr)
      }
    },
    forgetListener(addr) {
      const counters = listeners.get(addr)
      if (counters === undefined) return
      listeners.delete(addr)
      draining.add(counters)
      settleDrained()
    },
    listeners,
    backends,
    firewallBlocked() {
      settleDrained()
      const blocked = { ...gone }
      for (const counters of draining) addBlocked(blocked, counters)
      for (const counters of listeners.values()) addBlocked(blocked, counters)
      return blocked
    }
  })
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
