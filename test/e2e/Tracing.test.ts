import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { createServer } from "node:http"
import { text } from "node:stream/consumers"
import { refusingAddress, startBackend } from "./harness/Backend.ts"
import { hello } from "./harness/Hello.ts"
import { startProxy } from "./harness/Proxy.ts"
import { connect } from "./harness/Wire.ts"

const HELLO = hello("a.test")

const Value = Schema.Struct({
  stringValue: Schema.optional(Schema.String),
  intValue: Schema.optional(Schema.Union([Schema.String, Schema.Number]))
})
const Span = Schema.Struct({
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optional(Schema.String),
  name: Schema.String,
  startTimeUnixNano: Schema.String,
  endTimeUnixNano: Schema.String,
  attributes: Schema.Array(Schema.Struct({ key: Schema.String, value: Value }))
})
type Span = typeof Span.Type
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(Schema.Struct({ scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) })) }))
})
const readTraces = Schema.decodeUnknownSync(Schema.fromJsonString(Traces))

/** An OTLP collector, and what it was sent. */
const startCollector = Effect.gen(function* () {
  const spans: Array<Span> = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      assert.strictEqual(request.url, "/v1/traces")
      for (const { scopeSpans } of readTraces(body).resourceSpans) {
        for (const scope of scopeSpans) spans.push(...scope.spans)
      }
      response.end("{}")
    })
  })
  const endpoint = yield* Effect.acquireRelease(
    Effect.callback<string>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        if (typeof address === "object" && address !== null) {
          resume(Effect.succeed(`http://127.0.0.1:${address.port}`))
        }
      })
    }),
    () =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
  return { endpoint, spans }
})

const attributesOf = ({ attributes }: Span) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]))

it.live("sends a span for each connection, with the stages it came to as children, one after the other", () =>
  Effect.gen(function* () {
    const collector = yield* startCollector
    const backend = yield* startBackend()
    const proxy = yield* startProxy({
      listeners: [{ routes: [{ hostname: "a.test", backend: backend.address }] }],
      tracing: { otlp_endpoint: collector.endpoint }
    })
    const client = yield* connect(proxy.address)
    yield* client.send(HELLO)
    const inner = yield* backend.next
    client.finish()
    inner.finish()
    const done = yield* proxy.accessOf(client)
    const stranger = yield* connect(proxy.address)
    yield* stranger.send(hello("b.test"))
    yield* stranger.ended
    const refused = yield* proxy.accessOf(stranger)
    // What is left is sent before it ends.
    assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })

    const roots = collector.spans.filter(({ parentSpanId }) => parentSpanId === undefined)
    assert.deepStrictEqual(
      roots.map(({ name }) => name),
      ["connection", "connection"]
    )
    const decided = ["accept", "identify", "admit", "peek", "route"]
    const told = [
      [done, [...decided, "dial", "relay"]],
      [refused, decided]
    ] as const
    for (const [line, stages] of told) {
      const root = roots.find((span) => attributesOf(span)["mc_proxy.connection.id"] === line.id)!
      assert.include(attributesOf(root), {
        "mc_proxy.outcome": line.outcome,
        "mc_proxy.listener": "127.0.0.1:0",
        "client.address": "127.0.0.1",
        "client.port": Number(line.peer.split(":")[1]),
        "server.address": line.hostname,
        "mc_proxy.bytes.from_client": line.from_client
      })
      const children = collector.spans.filter(({ parentSpanId }) => parentSpanId === root.spanId)
      assert.deepStrictEqual(
        children.map(({ name }) => name),
        stages
      )
      assert.isTrue(children.every(({ traceId }) => traceId === root.traceId))
      let at = BigInt(root.startTimeUnixNano)
      for (const child of children) {
        assert.isTrue(BigInt(child.startTimeUnixNano) >= at)
        at = BigInt(child.endTimeUnixNano)
      }
      assert.isTrue(BigInt(root.endTimeUnixNano) >= at)
    }
    assert.notStrictEqual(roots[0]!.traceId, roots[1]!.traceId)
  })
)

it.live("goes on when nobody collects, and says so once in a while", () =>
  Effect.gen(function* () {
    const endpoint = `http://${yield* refusingAddress}`
    const proxy = yield* startProxy({ listeners: [{}], tracing: { otlp_endpoint: endpoint } })
    const visit = Effect.gen(function* () {
      const client = yield* connect(proxy.address)
      yield* client.send(HELLO)
      assert.strictEqual(yield* client.ended, "reset")
      assert.strictEqual((yield* proxy.accessOf(client)).outcome, "no_route")
    })
    yield* visit
    assert.include(yield* proxy.logged("the trace collector cannot be reached"), { level: "warn", endpoint })
    yield* visit
    assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
    const warnings = proxy.logLines.filter(({ message }) => message.startsWith("the trace collector"))
    assert.strictEqual(warnings.length, 1)
  })
)
