import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue, Result, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { Connection } from "../../../src/net/Connection.ts"
import { parseIpAddress, type IpAddress } from "../../../src/net/IpAddress.ts"
import { Network } from "../../../src/net/Network.ts"
import { formatSocketAddress, type SocketAddress } from "../../../src/net/SocketAddress.ts"
import { SimNetwork } from "../../../src/net/sim/SimNetwork.ts"
import type { TraceEvent } from "../../../src/net/sim/Trace.ts"
import { parseHostname, type Hostname } from "../../../src/snapshot/Hostname.ts"
import { LOOPBACK, assertSameBytes, listening, pattern } from "../suite/Fixture.ts"

const ip = (text: string): IpAddress => parseIpAddress(text)!
const at = (text: string, port: number): SocketAddress => ({ ip: ip(text), port })
const hostname = (text: string): Hostname => Result.getOrThrow(parseHostname(text))

const SLOW = { latencyMs: { min: 10, max: 10 } }

/** Runs in the background from now on, and says when it ended and how. */
const timed = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const network = yield* Network
  return yield* Effect.forkScoped(
    Effect.map(Effect.result(effect), (result) => ({ at: network.now(), result })),
    { startImmediately: true }
  )
})

const dial = Effect.fnUntraced(function* (to: SocketAddress, timeoutMs: number = Infinity) {
  const network = yield* Network
  return yield* timed(network.dial(to, network.now() + timeoutMs))
})

/** What a dial failed with, and when. */
const failure = Effect.fnUntraced(function* (dialling: Effect.Success<ReturnType<typeof dial>>) {
  const { at, result } = yield* Fiber.join(dialling)
  const { _tag, reason } = Result.getOrThrow(Result.flip(result))
  return [at, _tag, reason] as const
})

describe("a dial", () => {
  it.effect("is connected, refused or told that nobody is reachable after a round trip", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      yield* sim.listenBackend({ ip: ip("10.0.0.1"), port: 80 })
      sim.setFate(ip("10.0.0.3"), "unreachable")
      const dials = yield* Effect.all([1, 2, 3].map((host) => dial(at(`10.0.0.${host}`, 80))))
      yield* TestClock.adjust(20)
      assert.strictEqual((yield* Fiber.join(dials[0]!)).at, 20)
      assert.deepStrictEqual(yield* failure(dials[1]!), [20, "dial_failed", "10.0.0.2:80: ECONNREFUSED"])
      assert.deepStrictEqual(yield* failure(dials[2]!), [20, "dial_failed", "10.0.0.3:80: EHOSTUNREACH"])
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, link: SLOW })))
  )

  it.effect("hangs at a silent address until its deadline, and gets through when that speaks again", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const { address } = yield* sim.listenBackend(LOOPBACK)
      sim.setFate(address, "silent")
      const short = yield* dial(address, 900)
      const long = yield* dial(address, 60_000)
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual(yield* failure(short), [
        900,
        "dial_timeout",
        `no answer from ${formatSocketAddress(address)}`
      ])
      sim.setFate(address, undefined)
      // SYN at 0, 1,010 and 3,020 ms, and an answer to the last.
      yield* TestClock.adjust(2_000)
      assert.strictEqual((yield* Fiber.join(long)).at, 3_040)
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, link: SLOW })))
  )

  it.effect("waits for room in the backlog", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const backend = yield* sim.listenBackend(LOOPBACK, { backlogMax: 2 })
      const dials = yield* Effect.replicateEffect(dial(backend.address), 3)
      yield* TestClock.adjust(500)
      assert.strictEqual(backend.waiting, 2)
      assert.isUndefined(dials[2]!.pollUnsafe())
      yield* backend.accept
      yield* TestClock.adjust(1_000)
      assert.isTrue(Result.isSuccess((yield* Fiber.join(dials[2]!)).result))
      assert.strictEqual(backend.waiting, 2)
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, link: SLOW })))
  )

  it.effect("gives its place in the backlog back when it is given up in the middle of its handshake", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const backend = yield* sim.listenBackend(LOOPBACK, { backlogMax: 1 })
      const given = yield* dial(backend.address)
      yield* TestClock.adjust(15)
      yield* Fiber.interrupt(given)
      const next = yield* dial(backend.address)
      yield* TestClock.adjust(20)
      assert.isTrue(Result.isSuccess((yield* Fiber.join(next)).result))
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, link: SLOW })))
  )

  it.effect("knows only the families that its host has", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const network = yield* Network
      yield* sim.listenBackend({ ip: ip("::1"), port: 80 })
      assert.deepStrictEqual(yield* failure(yield* dial(at("::1", 80))), [0, "dial_failed", "[::1]:80: ENETUNREACH"])
      const error = yield* Effect.flip(network.listen({ ip: ip("::1"), port: 81 }, () => {}))
      assert.include(error.message, "no interface of this machine has that address")
      const all = yield* network.listen({ ip: undefined, port: 82 }, () => {})
      assert.strictEqual(formatSocketAddress(all), "0.0.0.0:82")
      const refused = yield* timed(sim.connect(at("::1", 82)))
      assert.isTrue(Result.isFailure((yield* Fiber.join(refused)).result))
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, ips: [ip("10.0.0.9")] })))
  )

  it.effect("comes from the host's address of the family, and from where a client says", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const machine = sim.makeHost({ ips: [ip("192.0.2.1"), ip("2001:db8::1")] })
      const { accepted } = yield* Effect.provideService(listening({ ip: undefined, port: 80 }), Network, machine)
      const far = [yield* dial(at("192.0.2.1", 80)), yield* dial(at("2001:db8::1", 80))]
      yield* Effect.all(far.map(Fiber.join))
      yield* sim.connect(at("192.0.2.1", 80), { from: at("203.0.113.5", 4242) })
      const peers = yield* Effect.replicateEffect(Queue.take(accepted), 3)
      assert.deepStrictEqual(
        peers.map(({ peer }) => peer?.ip.text),
        ["10.0.0.9", "2001:db8::9", "203.0.113.5"]
      )
      assert.strictEqual(peers[2]!.peer!.port, 4242)
      assert.strictEqual(formatSocketAddress(peers[1]!.local!), "[2001:db8::1]:80")
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, ips: [ip("10.0.0.9"), ip("2001:db8::9")] })))
  )
})

describe("a listener on all addresses", () => {
  it.effect("has those of its machine, and leaves the port to other machines", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const listenOn = (name: string) =>
        Effect.provideService(listening({ ip: undefined, port: 443 }), Network, sim.makeHost({ ips: [ip(name)] }))
      const [one, two] = [yield* listenOn("10.0.0.1"), yield* listenOn("10.0.0.2")]
      yield* sim.connect(at("10.0.0.2", 443))
      assert.strictEqual((yield* Queue.take(two.accepted)).local?.ip.text, "10.0.0.2")
      yield* sim.connect(at("10.0.0.1", 443))
      assert.strictEqual((yield* Queue.take(one.accepted)).local?.ip.text, "10.0.0.1")
      assert.strictEqual((yield* Effect.flip(sim.connect(at("10.0.0.3", 443))))._tag, "dial_failed")
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1 })))
  )

  it.effect("cannot have a port of which one of its addresses is taken, and frees all when its scope closes", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const machine = sim.makeHost({ ips: [ip("10.0.0.1"), ip("10.0.0.2")] })
      const listen = (text: string | undefined) =>
        machine.listen({ ip: text === undefined ? undefined : ip(text), port: 443 }, () => {})
      yield* Effect.scoped(Effect.andThen(listen("10.0.0.2"), Effect.flip(listen(undefined))))
      yield* Effect.scoped(Effect.andThen(listen(undefined), Effect.flip(listen("10.0.0.1"))))
      yield* listen("10.0.0.1")
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1 })))
  )
})

describe("descriptors", () => {
  it.effect("run out for dials, listeners and clients, and come back", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const network = yield* Network
      const accepted: Array<Connection> = []
      const backend = yield* sim.listenBackend(LOOPBACK)
      const address = yield* network.listen(LOOPBACK, (connection) => accepted.push(connection))
      const scope = yield* Scope.make()
      yield* Scope.provide(network.dial(backend.address, Infinity), scope)
      assert.strictEqual(sim.host.openSockets, 2)
      assert.strictEqual((yield* Effect.flip(network.dial(backend.address, Infinity)))._tag, "descriptors")
      assert.strictEqual((yield* Effect.flip(network.listen(LOOPBACK, () => {})))._tag, "ListenError")
      const client = yield* sim.connect(address)
      assert.strictEqual((yield* client.readAll).end, "RST")
      assert.deepStrictEqual(accepted, [])
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(sim.host.openSockets, 1)
      yield* network.dial(backend.address, Infinity)
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, socketsMax: 2 })))
  )

  it.effect("of one host are not another's", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const backend = yield* sim.listenBackend(LOOPBACK)
      const other = sim.makeHost({ ips: [ip("10.0.0.2")] })
      sim.host.socketsMax = 0
      const connection = yield* other.dial(backend.address, Infinity)
      assert.strictEqual(connection.local!.ip.text, "10.0.0.2")
      assert.deepStrictEqual([sim.host.openSockets, other.openSockets], [0, 1])
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1 })))
  )
})

describe("a connection", () => {
  it.effect("takes the time of its own link, each way", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const network = yield* Network
      const backend = yield* sim.listenBackend(LOOPBACK, { link: { latencyMs: { min: 7, max: 7 } } })
      const connecting = yield* timed(sim.connect(backend.address, { link: { receiveBytesMax: 100 } }))
      yield* TestClock.adjust(21)
      const client = Result.getOrThrow((yield* Fiber.join(connecting)).result)
      const peer = yield* backend.accept
      const start = network.now()
      yield* client.write(pattern(250))
      const reading = yield* timed(peer.read(250))
      yield* TestClock.adjust(1_000)
      const read = yield* Fiber.join(reading)
      assertSameBytes(Result.getOrThrow(read.result), pattern(250))
      // A window of 100: three segments, and between them what tells of the room.
      assert.strictEqual(read.at - start, 7 + 14 + 14)
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1 })))
  )

  it.effect("that was reset while it waited to be accepted is nobody's", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const network = yield* Network
      const accepted = yield* Deferred.make<Connection>()
      const address = yield* network.listen(LOOPBACK, (connection) =>
        Deferred.doneUnsafe(accepted, Effect.succeed(connection))
      )
      const client = yield* sim.connect(address)
      client.reset()
      yield* TestClock.adjust(50)
      const connection = yield* Deferred.await(accepted)
      assert.deepStrictEqual([connection.peer, connection.local], [undefined, undefined])
      assert.strictEqual((yield* Effect.flip(connection.peek(0, Infinity)))._tag, "ConnectionReset")
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, acceptMs: { min: 50, max: 50 } })))
  )

  it.effect(
    "stalls its sender when nobody reads, at the sum of the two buffers, and tells of a reset all the same",
    () =>
      Effect.gen(function* () {
        const sim = yield* SimNetwork
        const backend = yield* sim.listenBackend(LOOPBACK)
        const client = yield* sim.connect(backend.address)
        const peer = yield* backend.accept
        const writing = yield* timed(client.write(pattern(1_000)))
        yield* TestClock.adjust(1_000)
        assert.strictEqual(client.connection.bytesWritten, 300)
        client.reset()
        assert.strictEqual((yield* Fiber.join(writing)).result._tag, "Failure")
        yield* peer.resetByPeer
        const { bytes, end } = yield* peer.readAll
        assertSameBytes(bytes, pattern(1_000).subarray(0, 200))
        assert.strictEqual(end, "RST")
      }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, link: { sendBytesMax: 100, receiveBytesMax: 200 } })))
  )

  it.effect("never sends what a write that was interrupted still waited to send", () =>
    Effect.gen(function* () {
      const sim = yield* SimNetwork
      const backend = yield* sim.listenBackend(LOOPBACK)
      const client = yield* sim.connect(backend.address)
      const peer = yield* backend.accept
      const writing = yield* timed(client.write(pattern(1_000)))
      yield* TestClock.adjust(1_000)
      yield* Fiber.interrupt(writing)
      yield* client.finish
      const { bytes, end } = yield* peer.readAll
      assertSameBytes(bytes, pattern(1_000).subarray(0, 300))
      assert.strictEqual(end, "FIN")
    }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, link: { sendBytesMax: 100, receiveBytesMax: 200 } })))
  )
})

it.effect("names are found, not found, slow and silent, as they are set", () =>
  Effect.gen(function* () {
    const sim = yield* SimNetwork
    const network = yield* Network
    sim.setName(hostname("slow.test"), { _tag: "Found", ips: [ip("10.0.0.1"), ip("::1")], afterMs: 300 })
    sim.setName(hostname("gone.test"), { _tag: "NotFound", afterMs: 100 })
    sim.setName(hostname("silent.test"), { _tag: "Silence" })
    const names = ["slow.test", "gone.test", "silent.test", "unheard.test"]
    const [slow, gone, silent, unheard] = yield* Effect.all(names.map((name) => timed(network.lookup(hostname(name)))))
    yield* TestClock.adjust(60_000)
    const found = yield* Fiber.join(slow!)
    assert.strictEqual(found.at, 300)
    assert.deepStrictEqual(Result.getOrThrow(found.result), [ip("10.0.0.1"), ip("::1")])
    const lost = yield* Effect.all([gone!, unheard!].map(Fiber.join))
    assert.deepStrictEqual(
      lost.map(({ at, result }) => [at, Result.getOrThrow(Result.flip(result)).message]),
      [
        [100, "gone.test has no address"],
        [0, "unheard.test has no address"]
      ]
    )
    const unanswered = yield* Fiber.join(silent!)
    assert.strictEqual(unanswered.at, 10_000)
    assert.include(Result.getOrThrow(Result.flip(unanswered.result)).message, "no name server answers")
    assert.strictEqual(sim.pendingEvents(), 0)
  }).pipe(Effect.provide(SimNetwork.layer({ seed: 1 })))
)

it.effect("traces each event in order, with its time and bytes", () => {
  const trace: Array<TraceEvent> = []
  return Effect.gen(function* () {
    const sim = yield* SimNetwork
    const backend = yield* sim.listenBackend({ ip: ip("10.0.0.1"), port: 80 })
    const connecting = yield* timed(sim.connect(backend.address, { from: at("203.0.113.5", 4242) }))
    yield* TestClock.adjust(30)
    const client = Result.getOrThrow((yield* Fiber.join(connecting)).result)
    const peer = yield* backend.accept
    yield* client.write(pattern(5))
    yield* client.finish
    const reading = yield* timed(peer.readAll)
    yield* TestClock.adjust(10)
    yield* Fiber.join(reading)
    peer.reset()
    yield* TestClock.adjust(10)
    assert.deepStrictEqual(
      trace.map(({ at, kind, side, bytes, subject }) => [at, kind, side, bytes, subject].join(" ").trimEnd()),
      [
        "0 listen listener 0 10.0.0.1:80",
        "0 dial dialler 0 10.0.0.1:80",
        "20 connect dialler 0 203.0.113.5:4242",
        "30 accept listener 0 203.0.113.5:4242",
        "30 accept_bytes dialler 5",
        "30 send_fin dialler 0",
        "40 arrive listener 5",
        "40 read listener 5",
        "40 arrive_fin listener 0",
        "40 send_rst listener 0",
        "40 close listener 0",
        "50 arrive_rst dialler 0",
        "50 close dialler 0"
      ]
    )
    assert.isTrue(trace.slice(1).every(({ connection }) => connection === 1))
  }).pipe(Effect.provide(SimNetwork.layer({ seed: 1, link: SLOW, trace: (event) => trace.push(event) })))
})

it.effect("a callback's defect fails the layer's scope, and nothing else", () =>
  Effect.gen(function* () {
    const end = yield* Effect.gen(function* () {
      const sim = yield* SimNetwork
      const network = yield* Network
      const address = yield* network.listen(LOOPBACK, () => {
        throw new Error("a bug of the accepting side")
      })
      yield* sim.connect(address)
      const backend = yield* sim.listenBackend(LOOPBACK)
      const client = yield* sim.connect(backend.address)
      const peer = yield* backend.accept
      yield* client.write(pattern(3))
      assertSameBytes(yield* peer.read(3), pattern(3))
    }).pipe(Effect.scoped, Effect.provide(SimNetwork.layer({ seed: 1 })), Effect.exit)
    assert.isTrue(Exit.hasDies(end))
    assert.include(String(Exit.isFailure(end) && end.cause), "a bug of the accepting side")
  })
)
