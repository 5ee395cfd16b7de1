import { NodeServices } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Metric, Random } from "effect"
import { queryObjects } from "node:v8"
import { GeoIp } from "../../../src/firewall/GeoIp.ts"
import { RateLimiter } from "../../../src/firewall/RateLimiter.ts"
import { DescriptorBudget } from "../../../src/net/DescriptorBudget.ts"
import { Backends } from "../../../src/l7/backend/Backends.ts"
import { Dialer } from "../../../src/net/Dialer.ts"
import { NodeConnection } from "../../../src/net/node/NodeConnection.ts"
import * as NodeNetwork from "../../../src/net/node/NodeNetwork.ts"
import { formatSocketAddress } from "../../../src/net/SocketAddress.ts"
import { AccessLog, type ConnectionEntry } from "../../../src/observe/AccessLog.ts"
import { Counters } from "../../../src/observe/Counters.ts"
import { LiveConnection } from "../../../src/pipeline/LiveConnection.ts"
import { Settings } from "../../../src/pipeline/Settings.ts"
import { Certificates } from "../../../src/tls/Certificates.ts"
import { ConnectionQuota } from "../../../src/pipeline/ConnectionQuota.ts"
import { diff, EMPTY } from "../../../src/snapshot/Change.ts"
import { Connections } from "../../../src/server/Connections.ts"
import { DataPlane } from "../../../src/server/DataPlane.ts"
import type { Hostname } from "../../../src/snapshot/Hostname.ts"
import type { Snapshot } from "../../../src/snapshot/Snapshot.ts"
import { pair } from "./Accounts.ts"
import { BLOCKED_NETWORK, KINDS, startWorld, visit, type World } from "./MixedLoad.ts"

const ROUNDS = 4
const VISITS_PER_ROUND = 250

/** As many at once as keep every stage of the pipeline busy. */
const AT_ONCE = 50

/** Less than the fiber of a connection takes, or its socket; more than V8's own needs vary from round to round. */
const HEAP_GROWTH_BYTES_MAX = ROUNDS * VISITS_PER_ROUND * 1024

it.live(
  "has no fiber, timer, socket or memory left after 1,000 mixed connections",
  () =>
    Effect.gen(function* () {
      const world = yield* startWorld
      const fibers = new FiberCount()
      const entries: Array<ConnectionEntry> = []
      yield* Effect.gen(function* () {
        const plane = yield* DataPlane
        yield* plane.bind([LISTENER])
        yield* plane.publish(1, diff(EMPTY, snapshotOf(world)))
        const address = formatSocketAddress(plane.bound.get(LISTENER)!)

        const active = activeResources()
        yield* round(0, address, entries)
        const before = census()
        for (let number = 1; number <= ROUNDS; number++) yield* round(number, address, entries)
        assert.isAtLeast(fibers.begun, ROUNDS * VISITS_PER_ROUND)
        assert.strictEqual(fibers.alive, 0)
        yield* awaitNothingBeyond(active)
        assert.strictEqual(beyond(active), "")

        const { connections: objects, heapBytes } = census()
        assert.strictEqual(objects, 0)
        assert.isAtMost(heapBytes - before.heapBytes, HEAP_GROWTH_BYTES_MAX)
      }).pipe(Effect.provide(layerProxy(entries, fibers)))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer), Random.withSeed("in-process")),
  60_000
)

/** Visits of each kind, until their connections have ended, with one entry in the access log each. */
const round = Effect.fnUntraced(function* (number: number, address: string, entries: Array<ConnectionEntry>) {
  const ids = Array.from({ length: VISITS_PER_ROUND }, (_, i) => number * VISITS_PER_ROUND + i)
  const visits = yield* Effect.forEach(ids, (id) => visit(address, KINDS[id % KINDS.length]!, id), {
    concurrency: AT_ONCE
  })
  yield* (yield* Connections).awaitNone
  pair(visits.flat(), entries.map(lineOf))
  entries.length = 0
})

/** The fibers of the proxy, as Effect's runtime reports them. */
class FiberCount implements Metric.FiberRuntimeMetricsService {
  begun = 0
  alive = 0
  readonly recordFiberStart = (): void => {
    this.begun++
    this.alive++
  }
  readonly recordFiberEnd = (): void => {
    this.alive--
  }
}

/** The objects of connections, and what else is on the heap once that is collected, which counting objects does. */
const census = () => ({
  connections: queryObjects(NodeConnection, { format: "count" }) + queryObjects(LiveConnection, { format: "count" }),
  heapBytes: process.memoryUsage().heapUsed
})

/** What keeps this process awake, sockets and timers above all: of each kind how many. */
const activeResources = (): ReadonlyMap<string, number> =>
  new Map([...Map.groupBy(process.getActiveResourcesInfo(), (kind) => kind)].map(([kind, all]) => [kind, all.length]))

/** Of which kind there are more now, as text. */
const beyond = (before: ReadonlyMap<string, number>): string =>
  [...activeResources()]
    .filter(([kind, count]) => count > (before.get(kind) ?? 0))
    .map(([kind, count]) => `${count} ${kind} after ${before.get(kind) ?? 0}`)
    .join(", ")

/** Sockets close within a few turns of the loop. Turns are counted, since a timer would be among what is active. */
const awaitNothingBeyond = Effect.fnUntraced(function* (before: ReadonlyMap<string, number>) {
  for (let turn = 0; turn < TURNS_MAX && beyond(before) !== ""; turn++) yield* Effect.yieldNow
})

const TURNS_MAX = 10_000

const LISTENER = "127.0.0.1:0"

const snapshotOf = ({ routes }: World): Snapshot => ({
  revision: 1,
  listeners: [
    {
      addr: LISTENER,
      proxyProtocol: false,
      trustedProxies: [],
      maxConnections: 0,
      routes: routes.map(({ hostname, backend }) => ({
        hostname: hostname as Hostname,
        backend,
        mode: "l4",
        sendProxyProtocol: false
      }))
    }
  ],
  firewallRules: [{ type: "cidr", value: BLOCKED_NETWORK }]
})

const lineOf = ({ peer, outcome, fromClient, fromBackend }: ConnectionEntry) => ({
  peer,
  outcome,
  from_client: fromClient,
  from_backend: fromBackend
})

const layerProxy = (entries: Array<ConnectionEntry>, fibers: FiberCount) =>
  DataPlane.layer.pipe(
    Layer.provideMerge(Connections.layer),
    Layer.provide(Layer.provide(Backends.layer, NodeServices.layer)),
    Layer.provide(
      Layer.mergeAll(
        Layer.succeed(Settings, {
          helloTimeoutMs: 10_000,
          helloBytesMax: 65_536,
          connectTimeoutMs: 10_000,
          handshakeTimeoutMs: 10_000,
          headerTimeoutMs: 30_000,
          responseTimeoutMs: 300_000,
          idleTimeoutMs: 60_000,
          halfCloseTimeoutMs: 10_000
        }),
        Layer.succeed(AccessLog, { enabled: true, connection: (entry) => void entries.push(entry), request: () => {} }),
        Layer.succeed(Metric.FiberRuntimeMetrics, fibers),
        Certificates.layerFrom(() => Effect.fail([])),
        ConnectionQuota.layer,
        Counters.layer,
        DescriptorBudget.layer(10_000),
        GeoIp.layer(""),
        RateLimiter.layer({ limit: 0, windowMs: 60_000 }),
        Dialer.layer
      )
    ),
    Layer.provide(NodeNetwork.layer)
  )
