import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { Scope } from "effect"
import { writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream
} from "node:http2"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { refusingAddress, startBackend } from "./harness/Backend.ts"
import { identityOf, trusted } from "./harness/Certificates.ts"
import { temporaryFolder } from "./harness/Folder.ts"
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
  return { endpoint: yield* listening(server), spans }
})

/** Its URL. */
const listening = (server: Server): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
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

it.live("continues the client's trace through two proxies in a row, and passes it on", () =>
  Effect.gen(function* () {
    const collector = yield* startCollector
    const folder = yield* temporaryFolder
    const identity = yield* Effect.promise(() => identityOf("a.test"))
    const files = {
      tls_cert: join(folder, "a.pem"),
      tls_key: join(folder, "a.key"),
      backend_ca: join(folder, "ca.pem")
    }
    writeFileSync(files.tls_cert, identity.certificate)
    writeFileSync(files.tls_key, identity.key, { mode: 0o600 })
    writeFileSync(files.backend_ca, trusted)
    const told: Array<IncomingHttpHeaders> = []
    const backend = yield* startHttp2Backend(told)
    const start = (address: string, toProxy: boolean) =>
      startProxy({
        listeners: [
          {
            routes: [
              {
                hostname: "a.test",
                backend: address,
                mode: "l7",
                tls_cert: files.tls_cert,
                tls_key: files.tls_key,
                ...(toProxy ? { backend_tls: true, backend_ca: files.backend_ca, backend_server_name: "a.test" } : {})
              }
            ]
          }
        ],
        tracing: { otlp_endpoint: collector.endpoint }
      })
    const inner = yield* start(backend, false)
    const outer = yield* start(inner.address, true)
    const traceId = "0af7651916cd43dd8448eb211c80319c"
    const parentSpanId = "b7ad6b7169203331"
    const traced = { traceparent: `00-${traceId}-${parentSpanId}-01`, tracestate: "x=1" }
    assert.strictEqual(yield* ask(outer.address, "/traced?q", traced), 200)
    assert.strictEqual(yield* ask(outer.address, "/own", { traceparent: "00-none", tracestate: "x=1" }), 200)
    assert.deepStrictEqual(yield* outer.stop(), { code: 0, signal: null })
    assert.deepStrictEqual(yield* inner.stop(), { code: 0, signal: null })

    const asked = (path: string) =>
      collector.spans.filter((span) => span.name === "request" && attributesOf(span)["url.path"] === path)
    const [first, second] = inOrder(asked("/traced"))
    assert.deepStrictEqual([first?.traceId, first?.parentSpanId], [traceId, parentSpanId])
    assert.deepStrictEqual([second?.traceId, second?.parentSpanId], [traceId, first?.spanId])
    assert.deepStrictEqual(
      told.map(({ traceparent, tracestate }) => [traceparent, tracestate]),
      [
        [`00-${traceId}-${second?.spanId}-01`, "x=1"],
        [`00-${inOrder(asked("/own"))[1]?.traceId}-${inOrder(asked("/own"))[1]?.spanId}-01`, undefined]
      ]
    )
    assert.include(attributesOf(first!), {
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "server.address": outer.address.replace("127.0.0.1", "a.test"),
      "url.scheme": "https"
    })
    // What is not continued belongs to its connection.
    const own = inOrder(asked("/own"))[0]!
    const connections = collector.spans.filter(({ name }) => name === "connection")
    assert.include(
      connections.map(({ spanId }) => spanId),
      own.parentSpanId
    )
  })
)

/** The outer proxy's request begins first. */
const inOrder = (spans: ReadonlyArray<Span>): ReadonlyArray<Span> =>
  spans.toSorted((one, other) => Number(BigInt(one.startTimeUnixNano) - BigInt(other.startTimeUnixNano)))

/** Notes what each request says, and answers it. */
const startHttp2Backend = (told: Array<IncomingHttpHeaders>) =>
  Effect.callback<string, never, Scope.Scope>((resume) => {
    const server = createHttp2Server()
    server.on("stream", (stream: ServerHttp2Stream, headers) => {
      told.push(headers)
      stream.respond({ ":status": 200 }, { endStream: true })
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      if (typeof address !== "object" || address === null) return
      resume(
        Effect.acquireRelease(Effect.succeed(`127.0.0.1:${address.port}`), () => Effect.sync(() => server.close()))
      )
    })
  })

/** The status of a request of its own connection. */
const ask = (address: string, path: string, fields: Readonly<Record<string, string>>) =>
  Effect.callback<number>((resume) => {
    const port = address.split(":")[1]!
    const session = connectHttp2(`https://a.test:${port}`, {
      ca: trusted,
      lookup: (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }])
    })
    session.on("error", () => resume(Effect.succeed(0)))
    const request = session.request({ ":path": path, ...fields })
    request.on("response", (headers) => resume(Effect.succeed(headers[":status"] ?? 0)))
    request.resume().on("close", () => session.close())
    return Effect.sync(() => session.destroy())
  })

it.live("serves and ends beside a collector that takes spans and never answers", () =>
  Effect.gen(function* () {
    let asked = 0
    const endpoint = yield* listening(createServer(() => asked++))
    const proxy = yield* startProxy({ listeners: [{}], tracing: { otlp_endpoint: endpoint } })
    for (let visits = 0; visits < 3; visits++) {
      const client = yield* connect(proxy.address)
      yield* client.send(HELLO)
      assert.strictEqual(yield* client.ended, "reset")
    }
    assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
    assert.isAbove(asked, 0)
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
