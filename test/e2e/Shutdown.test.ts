import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Backend, startBackend } from "./harness/Backend.ts"
import { hello } from "./harness/Hello.ts"
import { type Proxy, startProxy } from "./harness/Proxy.ts"
import { connect } from "./harness/Wire.ts"

const HELLO = hello("a.test")
const ENDED_WELL = { code: 0, signal: null }

const start = Effect.fnUntraced(function* (shutdownTimeout: string) {
  const backend = yield* startBackend()
  const routes = [{ hostname: "a.test", backend: backend.address }]
  const proxy = yield* startProxy({ listeners: [{ routes }], proxy: { shutdown_timeout: shutdownTimeout } })
  return { backend, proxy }
})

const open = Effect.fnUntraced(function* (proxy: Proxy, backend: Backend) {
  const client = yield* connect(proxy.address)
  yield* client.send(HELLO)
  const inner = yield* backend.next
  yield* inner.received(HELLO.length)
  return { client, inner }
})

it.live.each(["SIGTERM", "SIGINT"] as const)(
  "refuses new connections at %s, lets live ones go on in whatever stage they are, and exits 0",
  (signal) =>
    Effect.gen(function* () {
      // Nothing here waits for the deadline.
      const { backend, proxy } = yield* start("1h")
      const { client, inner } = yield* open(proxy, backend)
      const early = yield* connect(proxy.address)
      yield* early.send(HELLO.subarray(0, 10))
      // Accepted, for one that came later has been served.
      const done = yield* open(proxy, backend)
      done.client.finish()
      done.inner.finish()
      yield* proxy.accessOf(done.client)

      proxy.signal(signal)
      assert.include(yield* proxy.logged("draining"), { signal, connections: 2 })
      const refused = yield* Effect.flip(connect(proxy.address))
      assert.strictEqual(refused.code, "ECONNREFUSED")

      yield* early.send(HELLO.subarray(10))
      const late = yield* backend.next
      yield* late.received(HELLO.length)
      yield* client.send("request")
      yield* inner.received(HELLO.length + 7)
      yield* inner.send("answer")
      assert.strictEqual((yield* client.received(6)).toString(), "answer")
      for (const end of [client, inner, early, late]) end.finish()
      assert.strictEqual(yield* client.ended, "fin")
      assert.strictEqual(yield* early.ended, "fin")

      assert.deepStrictEqual(yield* proxy.ended, ENDED_WELL)
      assert.include(yield* proxy.logged("stopped"), { reset: 0 })
      assert.deepStrictEqual(
        proxy.accessLines.map(({ outcome }) => outcome),
        ["done", "done", "done"]
      )
    })
)

it.live("resets what is left at the deadline, and exits 0", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start("300ms")
    const { client, inner } = yield* open(proxy, backend)
    const early = yield* connect(proxy.address)
    yield* early.send(HELLO.subarray(0, 10))
    yield* open(proxy, backend)
    assert.deepStrictEqual(yield* proxy.stop(), ENDED_WELL)
    for (const end of [client, inner, early]) assert.strictEqual(yield* end.ended, "reset")
    assert.include(yield* proxy.logged("stopped"), { reset: 3 })
    assert.deepStrictEqual(
      proxy.accessLines.map(({ outcome }) => outcome),
      ["shutdown", "shutdown", "shutdown"]
    )
  })
)

it.live("resets what is left at a second signal, and exits 0", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start("1h")
    const { client, inner } = yield* open(proxy, backend)
    proxy.signal("SIGINT")
    yield* proxy.logged("draining")
    assert.deepStrictEqual(yield* proxy.stop("SIGTERM"), ENDED_WELL)
    assert.strictEqual(yield* client.ended, "reset")
    assert.strictEqual(yield* inner.ended, "reset")
    const line = yield* proxy.accessOf(client)
    assert.include(line, { outcome: "shutdown", from_client: HELLO.length })
  })
)

it.live("exits at once when nobody is connected, and ignores a SIGHUP that has nothing to read", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start("1h")
    proxy.signal("SIGHUP")
    const { client, inner } = yield* open(proxy, backend)
    client.finish()
    inner.finish()
    assert.strictEqual((yield* proxy.accessOf(client)).outcome, "done")
    assert.deepStrictEqual(yield* proxy.stop(), ENDED_WELL)
  })
)
