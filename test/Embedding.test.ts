import { NodeFileSystem } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import * as McProxy from "../src/index.ts"
import { startBackend } from "./e2e/harness/Backend.ts"
import { hello } from "./e2e/harness/Hello.ts"
import { connect } from "./e2e/harness/Wire.ts"

const LISTENER = "127.0.0.1:0"

/** As another program would: real sockets, a state in memory, an access log of its own. */
const layerProxy = (entries: Array<McProxy.ConnectionEntry>) => {
  const grounds = Layer.mergeAll(
    McProxy.Certificates.layerFrom(() => Effect.fail([])),
    McProxy.ConnectionQuota.layer,
    McProxy.Counters.layer,
    McProxy.DescriptorBudget.layer(100),
    McProxy.Dialer.layer,
    McProxy.GeoIp.layerTable(new Map([["127.0.0.9", "SE"]])),
    McProxy.RateLimiter.layer({ limit: 0, windowMs: 60_000 }),
    Layer.succeed(McProxy.AccessLog, {
      enabled: true,
      connection: (entry) => void entries.push(entry),
      request: () => {}
    }),
    Layer.succeed(McProxy.Settings, {
      helloTimeoutMs: 10_000,
      helloBytesMax: 65_536,
      connectTimeoutMs: 5000,
      handshakeTimeoutMs: 10_000,
      headerTimeoutMs: 30_000,
      responseTimeoutMs: 300_000,
      idleTimeoutMs: 60_000,
      halfCloseTimeoutMs: 30_000
    })
  ).pipe(Layer.provideMerge(McProxy.NodeNetwork.layer))
  const pipeline = McProxy.Backends.layer.pipe(Layer.provideMerge(grounds), Layer.provide(NodeFileSystem.layer))
  const dataPlane = McProxy.LocalFollower.layer.pipe(
    Layer.provideMerge(McProxy.DataPlane.layer),
    Layer.provideMerge(McProxy.Connections.layer),
    Layer.provideMerge(pipeline)
  )
  const state: McProxy.State = {
    listeners: [{ addr: LISTENER, proxyProtocol: false, trustedProxies: [], maxConnections: 0, routes: [] }],
    firewallRules: [{ type: "country", value: "SE" }]
  }
  return McProxy.ControlPlane.layer.pipe(
    Layer.provide(McProxy.Store.layerMemory(state)),
    Layer.provideMerge(McProxy.Drain.layer),
    Layer.provideMerge(dataPlane)
  )
}

it.live("runs in a program that embeds it, with layers of that program's own", () => {
  const entries: Array<McProxy.ConnectionEntry> = []
  return Effect.gen(function* () {
    const backend = yield* startBackend()
    const control = yield* McProxy.ControlPlane
    const { bound } = yield* McProxy.DataPlane
    const address = bound.get(LISTENER)!
    const route: McProxy.L4Route = {
      mode: "l4",
      hostname: Result.getOrThrow(McProxy.parseHostname("a.test")),
      backend: backend.address,
      sendProxyProtocol: false
    }
    const change: McProxy.Change = [{ _tag: "PutRoute", listener: LISTENER, route }]
    assert.strictEqual(yield* control.mutate(() => Result.succeed({ change, answer: "in force" })), "in force")

    const client = yield* connect(`127.0.0.1:${address.port}`)
    yield* client.send(hello("a.test"))
    const inner = yield* backend.next
    yield* inner.send("hello")
    yield* client.received(5)

    const blocked = yield* connect(`127.0.0.1:${address.port}`, { from: "127.0.0.9" })
    assert.strictEqual(yield* blocked.ended, "reset")
    assert.strictEqual(entries[0]?.outcome, "blocked_country")
  }).pipe(Effect.provide(layerProxy(entries)))
})
