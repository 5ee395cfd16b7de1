import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { type Backend, startBackend } from "./harness/Backend.ts"
import { hello } from "./harness/Hello.ts"
import { type Proxy, type ProxyConfig, startProxy } from "./harness/Proxy.ts"
import { outcomesAtEnd } from "./harness/Refusal.ts"
import { within } from "./harness/Watch.ts"
import { connect, type Wire } from "./harness/Wire.ts"

const HELLO = hello("a.test")
const MIB = 1024 * 1024
/** How often a race between data and RST is tried. */
const ROUNDS = 5

const start = Effect.fnUntraced(function* (settings: ProxyConfig["proxy"] = {}) {
  const backend = yield* startBackend()
  const routes = [{ hostname: "a.test", backend: backend.address }]
  const proxy = yield* startProxy({ listeners: [{ routes }], proxy: settings })
  return { backend, proxy }
})

/** A client and its backend, once the hello has come through. */
const open = Effect.fnUntraced(function* (proxy: Proxy, backend: Backend) {
  const client = yield* connect(proxy.address)
  yield* client.send(HELLO)
  const inner = yield* backend.next
  yield* inner.received(HELLO.length)
  return { client, inner }
})

it.live("carries 50 MiB each way at once, and counts and delivers every byte", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start()
    const { client, inner } = yield* open(proxy, backend)
    const bytes = randomBytes(51 * MIB)
    const fromClient = bytes.subarray(0, 50 * MIB)
    const fromBackend = bytes.subarray(MIB)
    yield* Effect.all([client.send(fromClient), inner.send(fromBackend)], { concurrency: "unbounded" })
    client.finish()
    inner.finish()
    assert.strictEqual(yield* client.ended, "fin")
    assert.strictEqual(yield* inner.ended, "fin")
    assert.isTrue(client.bytes.equals(fromBackend))
    assert.isTrue(inner.bytes.equals(Buffer.concat([HELLO, fromClient])))
    const line = yield* proxy.accessOf(client)
    assert.include(line, {
      client: client.local,
      hostname: "a.test",
      backend: backend.address,
      mode: "l4",
      outcome: "done",
      from_client: HELLO.length + fromClient.length,
      from_backend: fromBackend.length
    })
    assert.isAbove(line.dial_ms ?? 0, 0)
    assert.isAtLeast(line.duration_ms, line.dial_ms ?? 0)
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["done"])
  })
)

it.live("passes a client's FIN on, while the backend goes on sending", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start()
    const { client, inner } = yield* open(proxy, backend)
    yield* client.send("request")
    client.finish()
    assert.strictEqual(yield* inner.ended, "fin")
    assert.strictEqual(inner.bytes.subarray(HELLO.length).toString(), "request")
    for (const answer of ["first", "firstsecond"]) {
      assert.isUndefined(client.ending)
      yield* inner.send(answer.slice(client.length))
      assert.strictEqual((yield* client.received(answer.length)).toString(), answer)
    }
    inner.finish()
    assert.strictEqual(yield* client.ended, "fin")
    assert.strictEqual((yield* proxy.accessOf(client)).outcome, "done")
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["done"])
  })
)

it.live("passes a backend's FIN on, while the client goes on sending", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start()
    const { client, inner } = yield* open(proxy, backend)
    yield* inner.send("answer")
    inner.finish()
    assert.strictEqual(yield* client.ended, "fin")
    assert.strictEqual(client.bytes.toString(), "answer")
    for (const request of ["first", "firstsecond"]) {
      assert.isUndefined(inner.ending)
      yield* client.send(request.slice(inner.length - HELLO.length))
      const received = yield* inner.received(HELLO.length + request.length)
      assert.strictEqual(received.subarray(HELLO.length).toString(), request)
    }
    client.finish()
    assert.strictEqual(yield* inner.ended, "fin")
    assert.strictEqual((yield* proxy.accessOf(client)).outcome, "done")
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["done"])
  })
)

it.live("carries on what a client has sent, FIN included, before its backend was reached", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start()
    const client = yield* connect(proxy.address)
    const bytes = Buffer.concat([HELLO, randomBytes(MIB)])
    client.socket.end(bytes)
    const inner = yield* backend.next
    assert.strictEqual(yield* inner.ended, "fin")
    assert.isTrue(inner.bytes.equals(bytes))
    yield* inner.send("answer")
    inner.finish()
    assert.strictEqual(yield* client.ended, "fin")
    assert.strictEqual(client.bytes.toString(), "answer")
    assert.include(yield* proxy.accessOf(client), { outcome: "done", from_client: bytes.length, from_backend: 6 })
  })
)

it.live("resets the client at once when its backend resets having sent nothing", () =>
  Effect.gen(function* () {
    // Nothing here waits for a timeout.
    const { backend, proxy } = yield* start({ half_close_timeout: "1h", idle_timeout: "1h" })
    const { client, inner } = yield* open(proxy, backend)
    inner.reset()
    assert.strictEqual(yield* client.ended, "reset")
    assert.strictEqual(client.length, 0)
    const { outcome, from_client, from_backend } = yield* proxy.accessOf(client)
    assert.deepStrictEqual(
      { outcome, from_client, from_backend },
      { outcome: "reset", from_client: HELLO.length, from_backend: 0 }
    )
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["reset"])
  })
)

// What was delivered is followed by RST, or by FIN and, half_close_timeout later, RST.

it.live("delivers what a backend has sent before it resets, and then ends the client", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start({ half_close_timeout: "100ms" })
    const bytes = randomBytes(32 * 1024)
    for (let round = 0; round < ROUNDS; round++) {
      const { client, inner } = yield* open(proxy, backend)
      yield* inner.send(bytes)
      inner.reset()
      yield* client.received(bytes.length)
      assert.include(["fin", "reset"], yield* client.ended)
      assert.isTrue(client.bytes.equals(bytes))
      const { outcome, from_backend } = yield* proxy.accessOf(client)
      assert.deepStrictEqual({ outcome, from_backend }, { outcome: "reset", from_backend: bytes.length })
      assert.isTrue(client.ending === "reset" || (yield* client.resetBehindFin))
    }
  })
)

it.live("delivers what a client has sent before it resets, and then ends the backend", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start({ half_close_timeout: "100ms" })
    const bytes = randomBytes(32 * 1024)
    for (let round = 0; round < ROUNDS; round++) {
      const { client, inner } = yield* open(proxy, backend)
      yield* client.send(bytes)
      client.reset()
      yield* inner.received(HELLO.length + bytes.length)
      assert.include(["fin", "reset"], yield* inner.ended)
      assert.isTrue(inner.bytes.equals(Buffer.concat([HELLO, bytes])))
      const { outcome, from_client } = yield* proxy.accessOf(client)
      assert.deepStrictEqual({ outcome, from_client }, { outcome: "reset", from_client: HELLO.length + bytes.length })
      assert.isTrue(inner.ending === "reset" || (yield* inner.resetBehindFin))
    }
  })
)

it.live("keeps for a late reader what the other side had sent before it reset", () =>
  Effect.gen(function* () {
    // The late reader is waited for.
    const { backend, proxy } = yield* start({ half_close_timeout: "1h" })
    // More than the reader's kernel takes in while nobody reads, less than the proxy's takes to send.
    const bytes = randomBytes(512 * 1024)
    for (const side of ["client", "inner"] as const) {
      const both = yield* open(proxy, backend)
      const [sender, reader] = side === "client" ? [both.client, both.inner] : [both.inner, both.client]
      const before = reader.length
      reader.socket.pause()
      yield* sender.send(bytes)
      yield* acknowledged(sender)
      sender.reset()
      // Who came later has come and gone: the proxy has seen the RST.
      const later = yield* connect(proxy.address)
      yield* later.send(hello("other.test"))
      assert.strictEqual((yield* proxy.accessOf(later)).outcome, "no_route")

      reader.socket.resume()
      yield* reader.received(before + bytes.length)
      assert.include(["fin", "reset"], yield* reader.ended)
      assert.isTrue(reader.bytes.subarray(before).equals(bytes))
      reader.finish()
      assert.strictEqual((yield* proxy.accessOf(both.client)).outcome, "reset")
    }
  })
)

/** Waits until the other end's kernel has received all that this one has sent. */
const acknowledged = ({ socket }: Wire): Effect.Effect<void> => {
  const hex = (port: number | undefined) => `:${port!.toString(16).toUpperCase().padStart(4, "0")}`
  const row = new RegExp(`${hex(socket.localPort)} \\w+${hex(socket.remotePort)} \\w+ (\\w+):`)
  return Effect.sync(() => row.exec(readFileSync("/proc/net/tcp", "latin1"))?.[1]).pipe(
    Effect.tap(() => Effect.yieldNow),
    Effect.repeat({ until: (unacknowledged) => unacknowledged === "00000000" }),
    Effect.asVoid,
    within("the acknowledgement of what was sent")
  )
}

it.live("resets both sides when no byte has come for idle_timeout", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start({ idle_timeout: "300ms" })
    const { client, inner } = yield* open(proxy, backend)
    assert.strictEqual(yield* client.ended, "reset")
    assert.strictEqual(yield* inner.ended, "reset")
    const { duration_ms, outcome } = yield* proxy.accessOf(client)
    assert.strictEqual(outcome, "idle_timeout")
    assert.isAtLeast(duration_ms, 300)
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["idle_timeout"])
  })
)

it.live("resets both sides when one has finished and no byte has come for half_close_timeout", () =>
  Effect.gen(function* () {
    const { backend, proxy } = yield* start({ half_close_timeout: "300ms" })
    const one = yield* open(proxy, backend)
    one.client.finish()
    assert.strictEqual(yield* one.client.ended, "reset")
    assert.strictEqual(yield* one.inner.ended, "fin")
    assert.strictEqual((yield* proxy.accessOf(one.client)).outcome, "half_close_timeout")
    assert.isTrue(yield* one.inner.resetBehindFin)

    const other = yield* open(proxy, backend)
    other.inner.finish()
    assert.strictEqual(yield* other.inner.ended, "reset")
    assert.strictEqual(yield* other.client.ended, "fin")
    assert.strictEqual((yield* proxy.accessOf(other.client)).outcome, "half_close_timeout")
    assert.isTrue(yield* other.client.resetBehindFin)
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["half_close_timeout", "half_close_timeout"])
  })
)
