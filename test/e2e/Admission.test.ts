import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { startBackend } from "./harness/Backend.ts"
import { hello } from "./harness/Hello.ts"
import { startProxy } from "./harness/Proxy.ts"
import { assertRefused, outcomesAtEnd } from "./harness/Refusal.ts"
import { connect } from "./harness/Wire.ts"

// Every client here that is refused has sent nothing: it is reset before a byte is read.

it.live("resets a client over its listener's max_connections, and takes the next when one has left", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{ max_connections: 1 }, { addr: "127.0.0.2:0" }] })
    const first = yield* connect(proxy.address)
    yield* assertRefused(proxy, yield* connect(proxy.address), { outcome: "max_connections" })

    const elsewhere = yield* connect(proxy.addressOf("127.0.0.2:0"))
    yield* elsewhere.send(hello("a.test"))
    yield* assertRefused(proxy, elsewhere, { listener: "127.0.0.2:0", hostname: "a.test", outcome: "no_route" })

    first.reset()
    assert.strictEqual((yield* proxy.accessOf(first)).outcome, "reset")
    const next = yield* connect(proxy.address)
    yield* next.send(hello("a.test"))
    yield* assertRefused(proxy, next, { hostname: "a.test", outcome: "no_route" })
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["max_connections", "no_route", "reset", "no_route"])
  })
)

it.live("resets clients past the descriptor budget, serves those it has, and takes new ones when they have left", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address }]
    const proxy = yield* startProxy({ listeners: [{ routes }] }, { nofile: 200 })
    const socketsMax = Number((yield* proxy.logged("ready"))["sockets_max"])
    assert.isAbove(socketsMax, 0)
    assert.isBelow(socketsMax, 200)

    // One is the listener's, and a backend's socket is kept for every client that has not dialled yet.
    const room = Math.floor((socketsMax - 1) / 2)
    for (let round = 0; round < 2; round++) {
      const clients = yield* Effect.forEach(Array.from({ length: room + 10 }), () => connect(proxy.address))
      for (const client of clients.slice(room)) yield* assertRefused(proxy, client, { outcome: "descriptors" })
      for (const client of clients.slice(0, room)) {
        assert.isUndefined(client.ending)
        yield* client.send(hello("a.test"))
        const inner = yield* backend.next
        inner.finish()
        client.finish()
        assert.strictEqual(yield* client.ended, "fin")
        assert.strictEqual((yield* proxy.accessOf(client)).outcome, "done")
      }
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), 2 * (room + 10))
  })
)

it.live("resets blocked addresses and networks, and names the rule", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{}],
      firewall: { blocked_ips: ["127.0.3.4", "127.0.5.6"], blocked_cidrs: ["127.0.3.0/24", "127.0.3.128/25"] }
    })
    const blocked = [
      ["127.0.5.6", "blocked_ip", "ip 127.0.5.6"],
      ["127.0.3.4", "blocked_ip", "ip 127.0.3.4"],
      ["127.0.3.5", "blocked_cidr", "cidr 127.0.3.0/24"]
    ] as const
    for (const [from, outcome, rule] of blocked) {
      yield* assertRefused(proxy, yield* connect(proxy.address, { from }), { outcome, rule })
    }
    const neighbour = yield* connect(proxy.address, { from: "127.0.4.4" })
    yield* neighbour.send(hello("a.test"))
    yield* assertRefused(proxy, neighbour, { hostname: "a.test", outcome: "no_route" })
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["blocked_ip", "blocked_ip", "blocked_cidr", "no_route"])
  })
)

it.live("shows an IPv4 client of a listener on all addresses by its IPv4 address, to the firewall as in the log", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{ addr: ":0" }], firewall: { blocked_ips: ["127.0.0.9", "::1"] } })
    const port = proxy.address.slice(proxy.address.lastIndexOf(":"))
    const v4 = yield* connect(`127.0.0.1${port}`, { from: "127.0.0.9" })
    yield* assertRefused(proxy, v4, { listener: ":0", outcome: "blocked_ip", rule: "ip 127.0.0.9" })
    const v6 = yield* connect(`[::1]${port}`)
    yield* assertRefused(proxy, v6, { listener: ":0", outcome: "blocked_ip", rule: "ip ::1" })
  })
)

it.live("resets an address over its rate limit and no other, and lets a blocked one spend nothing", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{}],
      firewall: { rate_limit: 2, rate_window: "1h", blocked_ips: ["127.0.0.3"] }
    })
    const refused = (from: string, outcome: string, rule = "") =>
      Effect.flatMap(connect(proxy.address, { from }), (client) => assertRefused(proxy, client, { outcome, rule }))
    const admitted = Effect.fnUntraced(function* (from: string) {
      const client = yield* connect(proxy.address, { from })
      yield* client.send(hello("a.test"))
      yield* assertRefused(proxy, client, { hostname: "a.test", outcome: "no_route" })
    })
    yield* admitted("127.0.0.2")
    yield* admitted("127.0.0.2")
    yield* refused("127.0.0.2", "rate_limited")
    yield* refused("127.0.0.2", "rate_limited")
    yield* admitted("127.0.0.4")
    for (let i = 0; i < 3; i++) yield* refused("127.0.0.3", "blocked_ip", "ip 127.0.0.3")
  })
)
