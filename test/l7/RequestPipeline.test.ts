import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { PassThrough } from "node:stream"
import type { BackendFailed, BackendResponse } from "../../src/l7/backend/Backends.ts"
import { LiveRequest } from "../../src/l7/LiveRequest.ts"
import type { RequestHead } from "../../src/l7/Message.ts"
import { REPEATS_MAX, serveRequest } from "../../src/l7/RequestPipeline.ts"
import { VirtualHost } from "../../src/l7/VirtualHost.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import type { RequestEntry } from "../../src/observe/AccessLog.ts"
import { RequestCounters } from "../../src/observe/RequestCounters.ts"
import type { L7Policy } from "../../src/snapshot/Snapshot.ts"
import { bodyOf, FakeExchange, FakePool, Sink, type Answer } from "./FakeExchange.ts"
import { SERVER } from "./Requests.ts"

const CLIENT = parseIpAddress("192.0.2.7")!

const head = (changes: Partial<RequestHead> = {}): RequestHead => ({
  method: "GET",
  authority: SERVER,
  path: "/a?secret=1",
  fields: ["user-agent", "test"],
  isWebSocket: false,
  hasBody: false,
  contentLength: undefined,
  ...changes
})

const request = (changes?: Partial<RequestHead>) => ({ _tag: "Request", head: head(changes) }) as const

const answer = (changes: Partial<BackendResponse> = {}): BackendResponse => ({
  status: 200,
  fields: [],
  body: undefined,
  upgraded: undefined,
  ...changes
})

const failed = (changes: Partial<BackendFailed> = {}): Answer =>
  Effect.fail({ _tag: "unavailable", unprocessed: false, reason: "refused", ...changes })

/** What runs a request on `pool`, and what it has come to. */
const start = Effect.fnUntraced(function* (
  exchange: FakeExchange,
  pool: FakePool,
  policies: ReadonlyArray<L7Policy> = []
) {
  const host = new VirtualHost(policies, new RequestCounters())
  const lines: Array<RequestEntry> = []
  const live = new LiveRequest(exchange, 0)
  const running = serveRequest(live, {
    host,
    pool,
    client: CLIENT,
    access: { enabled: true, connection: () => {}, request: (entry) => lines.push(entry) },
    trace: undefined,
    told: { id: "1", listener: ":443", client: "192.0.2.7:1", hostname: SERVER },
    now: () => 5,
    wallClock: () => 0
  })
  const fiber = yield* Effect.forkChild(
    Effect.withFiber((own) => {
      live.runBy(own)
      return running
    })
  )
  const done = Effect.asVoid(Fiber.await(fiber))
  return { done, exchange, host, lines, live }
})

const run = Effect.fnUntraced(function* (...args: Parameters<typeof start>) {
  const started = yield* start(...args)
  yield* started.done
  return started
})

/** Of the event loop, for Node's streams. */
const nextTurn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

describe("a request", () => {
  it.effect("reaches the backend with what is true of the client, and its response comes back whole", () =>
    Effect.gen(function* () {
      const body = bodyOf("upload", ["digest", "1"])
      const pool = new FakePool(Effect.succeed(answer({ status: 201, body: bodyOf("download", ["check", "2"]) })))
      const fields = ["x-forwarded-for", "203.0.113.1", "accept", "*/*"]
      const { exchange, host, lines } = yield* run(
        new FakeExchange(request({ method: "POST", hasBody: true, fields }), body),
        pool
      )
      assert.deepStrictEqual(pool.sent[0]?.fields, [
        ...["accept", "*/*", "x-forwarded-for", "192.0.2.7", "x-forwarded-proto", "https"],
        ...["x-forwarded-host", SERVER, "x-real-ip", "192.0.2.7"]
      ])
      assert.deepStrictEqual([pool.bodies[0]?.text, pool.bodies[0]?.trailers], ["upload", ["digest", "1"]])
      assert.deepStrictEqual(exchange.interims, [{ status: 103, fields: [] }])
      assert.deepStrictEqual([exchange.head?.status, exchange.sink.text], [201, "download"])
      assert.deepStrictEqual(exchange.sink.trailers, ["check", "2"])
      assert.deepStrictEqual([...host.counters.responses], [[201, 1]])
      assert.strictEqual(pool.released, 1)
      const [line] = lines
      assert.deepStrictEqual(
        [line?.method, line?.path, line?.status, line?.durationMs, line?.bytes],
        ["POST", "/a", 201, 5, 8]
      )
    })
  )

  it.effect("that a policy refuses is not sent, and is counted by the policy's type", () =>
    Effect.gen(function* () {
      const pool = new FakePool()
      const policies = [{ type: "block_user_agent", value: "TEST" }] as const
      const { exchange, host } = yield* run(new FakeExchange(request()), pool, policies)
      assert.deepStrictEqual([exchange.head?.status, exchange.sink.text], [403, "Forbidden\n"])
      assert.deepStrictEqual(pool.sent, [])
      assert.strictEqual(host.counters.policyBlocked.block_user_agent, 1)
      assert.deepStrictEqual([...host.counters.responses], [[403, 1]])
    })
  )

  it.effect("that was refused when it was read is answered so, and is not sent", () =>
    Effect.gen(function* () {
      const pool = new FakePool()
      const { exchange } = yield* run(new FakeExchange({ _tag: "Refused", status: 421, reason: "another name" }), pool)
      assert.strictEqual(exchange.head?.status, 421)
      assert.deepStrictEqual(pool.sent, [])
    })
  )

  it.effect("of HEAD has no body where the answer is the proxy's own", () =>
    Effect.gen(function* () {
      const { exchange } = yield* run(new FakeExchange(request({ method: "HEAD" })), new FakePool(failed()))
      assert.deepStrictEqual([exchange.head?.status, exchange.follows], [502, "nothing"])
    })
  )
})

describe("a backend that does not answer", () => {
  const cases = [
    ["unavailable", 502],
    ["timed_out", 504],
    ["unsupported", 501]
  ] as const
  for (const [_tag, status] of cases) {
    it.effect(`because it is ${_tag} is a ${status}, that names nobody`, () =>
      Effect.gen(function* () {
        const { exchange, lines } = yield* run(new FakeExchange(request()), new FakePool(failed({ _tag })))
        assert.strictEqual(exchange.head?.status, status)
        assert.notInclude(exchange.sink.text, "refused")
        assert.strictEqual(lines[0]?.status, status)
      })
    )
  }

  it.effect("is told to a gRPC client by a status of gRPC, and counted as what it stands for", () =>
    Effect.gen(function* () {
      const asked = new FakeExchange(request({ fields: ["content-type", "application/grpc"] }))
      const { exchange, host } = yield* run(asked, new FakePool(failed()))
      assert.strictEqual(exchange.head?.status, 200)
      assert.include(exchange.head?.fields ?? [], "grpc-status")
      assert.deepStrictEqual([...host.counters.responses], [[502, 1]])
    })
  )

  it.effect("is asked once more where it did nothing about the request", () =>
    Effect.gen(function* () {
      const pool = new FakePool(failed({ unprocessed: true }), Effect.succeed(answer()))
      const { exchange } = yield* run(new FakeExchange(request()), pool)
      assert.deepStrictEqual([exchange.head?.status, pool.sent.length, pool.released], [200, 2, 2])
    })
  )

  for (const [refusals, status] of [
    [REPEATS_MAX, 200],
    [REPEATS_MAX + 1, 502]
  ] as const) {
    it.effect(`is answered ${status} where it did nothing about the request ${refusals} times`, () =>
      Effect.gen(function* () {
        const refused = Array.from({ length: refusals }, () => failed({ unprocessed: true }))
        const pool = new FakePool(...refused, Effect.succeed(answer()))
        const { exchange } = yield* run(new FakeExchange(request()), pool)
        assert.deepStrictEqual([exchange.head?.status, pool.sent.length], [status, REPEATS_MAX + 1])
      })
    )
  }

  it.effect("is not asked again where it may have done something", () =>
    Effect.gen(function* () {
      const pool = new FakePool(failed())
      const { exchange } = yield* run(new FakeExchange(request()), pool)
      assert.deepStrictEqual([exchange.head?.status, pool.sent.length], [502, 1])
    })
  )

  it.effect("is not asked again when a part of the body is gone", () =>
    Effect.gen(function* () {
      const readable = new PassThrough()
      const taken = Deferred.makeUnsafe<void>()
      const pool = new FakePool(
        Effect.andThen(Deferred.await(taken), failed({ unprocessed: true })),
        Effect.succeed(answer())
      )
      const exchange = new FakeExchange(request({ hasBody: true }), { readable, trailers: () => [] })
      const { done, live } = yield* start(exchange, pool)
      readable.write("part")
      while (live.upload?.bytes !== 4) yield* nextTurn
      yield* Deferred.succeed(taken, undefined)
      yield* done
      assert.deepStrictEqual([exchange.head?.status, pool.sent.length], [502, 1])
    })
  )
})

describe("an end in the middle", () => {
  it.effect("by the client cancels the backend's part at once", () =>
    Effect.gen(function* () {
      const pool = new FakePool(Effect.never)
      const { done, exchange, lines, live } = yield* start(new FakeExchange(request()), pool)
      yield* nextTurn
      assert.deepStrictEqual([pool.sent.length, pool.released], [1, 0])
      live.end("gone")
      yield* done
      assert.strictEqual(pool.released, 1)
      assert.isUndefined(exchange.head)
      assert.isUndefined(lines[0]?.status)
    })
  )

  it.effect("by the time it takes is a 504", () =>
    Effect.gen(function* () {
      const { done, exchange, live } = yield* start(new FakeExchange(request()), new FakePool(Effect.never))
      yield* nextTurn
      live.end("timed_out")
      yield* done
      assert.strictEqual(exchange.head?.status, 504)
    })
  )

  it.effect("by the backend breaks the response off, so that nobody takes it for whole", () =>
    Effect.gen(function* () {
      const readable = new PassThrough()
      const pool = new FakePool(Effect.succeed(answer({ body: { readable, trailers: () => [] } })))
      const { done, exchange } = yield* start(new FakeExchange(request()), pool)
      readable.write("half")
      yield* nextTurn
      readable.destroy()
      yield* done
      assert.deepStrictEqual([exchange.head?.status, exchange.aborted, exchange.sink.trailers], [200, true, undefined])
    })
  )

  it.effect("by the backend before its head was passed on is a 502", () =>
    Effect.gen(function* () {
      const readable = new PassThrough()
      readable.destroy()
      const pool = new FakePool(Effect.succeed(answer({ body: { readable, trailers: () => [] } })))
      const { exchange, host } = yield* run(new FakeExchange(request()), pool)
      assert.deepStrictEqual([exchange.head?.status, exchange.aborted], [502, false])
      assert.deepStrictEqual([...host.counters.responses], [[502, 1]])
    })
  )

  it.effect("before it began ends what was to run it", () =>
    Effect.gen(function* () {
      const live = new LiveRequest(new FakeExchange(request()), 0)
      live.end("gone")
      const fiber = yield* Effect.forkChild(Effect.never)
      live.runBy(fiber)
      yield* Fiber.await(fiber)
    })
  )
})

it.effect("a WebSocket that is accepted goes both ways until one side ends", () =>
  Effect.gen(function* () {
    const upgraded = new Sink()
    const pool = new FakePool(Effect.succeed(answer({ upgraded, body: bodyOf("from backend") })))
    const exchange = new FakeExchange(request({ isWebSocket: true }), bodyOf("from client"))
    yield* run(exchange, pool)
    assert.deepStrictEqual([exchange.follows, exchange.sink.text], ["websocket", "from backend"])
    assert.strictEqual(upgraded.text, "from client")
  })
)
