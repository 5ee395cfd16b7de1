import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { refusingAddress, startBackend } from "./harness/Backend.ts"
import { startFullListener } from "./harness/FullListener.ts"
import { hello } from "./harness/Hello.ts"
import { startProxy } from "./harness/Proxy.ts"
import { assertRefused, outcomesAtEnd } from "./harness/Refusal.ts"
import { connect, splitAddress } from "./harness/Wire.ts"

const toldOf = (backend: string) => ({ hostname: "a.test", backend, mode: "l4" })

it.live("resets the client of a backend that refuses", () =>
  Effect.gen(function* () {
    const backend = yield* refusingAddress
    const proxy = yield* startProxy({ listeners: [{ routes: [{ hostname: "a.test", backend }] }] })
    const client = yield* connect(proxy.address)
    yield* client.send(hello("a.test"))
    yield* assertRefused(proxy, client, { ...toldOf(backend), outcome: "dial_failed" })
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["dial_failed"])
  })
)

it.live("resets the client of a backend whose name has no address", () =>
  Effect.gen(function* () {
    const backend = "no-such-host.invalid:443"
    const routes = [{ hostname: "a.test", backend }]
    // Where there is no resolver either, the system's gives up in time.
    const env = { RES_OPTIONS: "timeout:1 attempts:1" }
    const proxy = yield* startProxy({ listeners: [{ routes }], proxy: { connect_timeout: "15s" } }, { env })
    const client = yield* connect(proxy.address)
    yield* client.send(hello("a.test"))
    yield* assertRefused(proxy, client, { ...toldOf(backend), outcome: "dial_failed" })
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["dial_failed"])
  })
)

it.live("resets the client of a backend that does not answer within connect_timeout", () =>
  Effect.gen(function* () {
    const backend = yield* startFullListener
    const routes = [{ hostname: "a.test", backend }]
    const proxy = yield* startProxy({ listeners: [{ routes }], proxy: { connect_timeout: "300ms" } })
    const client = yield* connect(proxy.address)
    yield* client.send(hello("a.test"))
    yield* assertRefused(proxy, client, { ...toldOf(backend), outcome: "dial_timeout" })
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["dial_timeout"])
  })
)

it.live("cancels the dial when its client resets", () =>
  Effect.gen(function* () {
    const backend = yield* startFullListener
    const routes = [{ hostname: "a.test", backend }]
    // Longer than any wait of this test.
    const proxy = yield* startProxy({ listeners: [{ routes }], proxy: { connect_timeout: "10m" } })
    const client = yield* connect(proxy.address)
    yield* client.send(hello("a.test"))
    // Who came later has been served: the first is being dialled for.
    const later = yield* connect(proxy.address)
    yield* later.send(hello("other.test"))
    yield* assertRefused(proxy, later, { hostname: "other.test", outcome: "no_route" })
    client.reset()
    const { outcome, from_client, dial_ms, ...line } = yield* proxy.accessOf(client)
    assert.include(line, toldOf(backend))
    assert.deepStrictEqual({ outcome, from_client, dial_ms }, { outcome: "reset", from_client: 0, dial_ms: null })
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["no_route", "reset"])
  })
)

it.live("reaches a backend by name, at whichever of its addresses it answers", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const name = `localhost:${splitAddress(backend.address).port}`
    const proxy = yield* startProxy({ listeners: [{ routes: [{ hostname: "a.test", backend: name }] }] })
    const client = yield* connect(proxy.address)
    yield* client.send(hello("a.test"))
    const inner = yield* backend.next
    inner.finish()
    client.finish()
    const { dial_ms, ...line } = yield* proxy.accessOf(client)
    assert.include(line, { ...toldOf(name), outcome: "done" })
    assert.isAbove(dial_ms ?? 0, 0)
  })
)
