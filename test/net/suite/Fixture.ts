/**
 * What every case of the network suite is made of: connected pairs, relays with a peer at each end, and ways to send,
 * receive and wait that say how a connection ended.
 *
 * Everything goes through `Network` and `Connection`, so that the cases hold for any network. Nothing here sleeps: a
 * case waits for what a peer sees, and where it must show that something does not happen, for a deadline to pass.
 */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Queue } from "effect"
import type { Scope } from "effect"
import * as fc from "fast-check"
import type { Connection, ConnectionReset, PeekError } from "../../../src/net/Connection.ts"
import { parseIpAddress } from "../../../src/net/IpAddress.ts"
import { Network, type ListenError, type RelayEnd, type RelayTimeouts } from "../../../src/net/Network.ts"
import type { SocketAddress } from "../../../src/net/SocketAddress.ts"
import type { ListenAddress } from "../../../src/snapshot/Endpoint.ts"

/** What the suite has to know of the network under test. */
export interface SuiteOptions {
  /** Lets time pass on the network's clock; nothing where it passes by itself. */
  advance(ms: number): Effect.Effect<void>
  /** Lets the network do what it can do at once. */
  readonly turn: Effect.Effect<void>
  /** Counts the sockets that are open now, of both ends. */
  readonly openSockets: Effect.Effect<() => number>
  /** An address that answers no dial, neither with yes nor with no. */
  readonly silentAddress: Effect.Effect<SocketAddress, unknown, Scope.Scope>
  /** How a peer sees the end when the other side of its relay has reset and all that came before was delivered. */
  readonly endAfterReset: "PeerEnded" | "ConnectionReset"
}

/** Registers one case. Its scope is closed before it is asked what sockets are left. */
export type Case = (title: string, body: Effect.Effect<void, unknown, Network | Scope.Scope>) => void

export const LOOPBACK: ListenAddress = { ip: parseIpAddress("127.0.0.1"), port: 0 }

/** More than any case takes, and less than a test may; a peek that meets it fails the case. */
const PATIENCE_MS = 20_000

/** For relays of cases that are not about timeouts. */
export const PATIENT: RelayTimeouts = { idleTimeoutMs: PATIENCE_MS, halfCloseTimeoutMs: PATIENCE_MS }

/** Listens until the scope closes, which also resets what was accepted. */
export const listening = Effect.fnUntraced(function* (
  address: ListenAddress
): Effect.fn.Return<Listening, ListenError, Network | Scope.Scope> {
  const network = yield* Network
  const accepted = yield* Queue.unbounded<Connection>()
  const all: Array<Connection> = []
  yield* Effect.addFinalizer(() => Effect.sync(() => all.forEach((connection) => connection.reset())))
  const bound = yield* network.listen(address, (connection) => {
    all.push(connection)
    Queue.offerUnsafe(accepted, connection)
  })
  return { address: bound, accepted }
})

export interface Listening {
  readonly address: SocketAddress
  readonly accepted: Queue.Dequeue<Connection>
}

/** Dials with all the time in the world. */
export const dial = Effect.fnUntraced(function* (address: SocketAddress) {
  const network = yield* Network
  return yield* network.dial(address, network.now() + PATIENCE_MS)
})

/** One TCP connection by both its ends: `near` was dialled, `far` was accepted. */
export const connected = Effect.gen(function* () {
  const { address, accepted } = yield* listening(LOOPBACK)
  const near = yield* dial(address)
  const far = yield* Queue.take(accepted)
  return { near, far }
})

/** A client and a backend, each connected to the proxy's end of its connection, `front` and `back`. */
export const peers = Effect.gen(function* () {
  const { near: client, far: front } = yield* connected
  const { near: back, far: backend } = yield* connected
  return { client, front, back, backend } satisfies Peers
})

export interface Peers {
  readonly client: Connection
  readonly front: Connection
  readonly back: Connection
  readonly backend: Connection
}

/** The peers as a case of two directions sees them: who begins, and the proxy's end of the connection with each. */
export const DIRECTIONS: ReadonlyArray<readonly [who: string, sides: (peers: Peers) => Sides]> = [
  [
    "client",
    ({ client, front, back, backend }) => ({ first: client, firstEnd: front, second: backend, secondEnd: back })
  ],
  [
    "backend",
    ({ client, front, back, backend }) => ({ first: backend, firstEnd: back, second: client, secondEnd: front })
  ]
]

export interface Sides {
  readonly first: Connection
  readonly firstEnd: Connection
  readonly second: Connection
  readonly secondEnd: Connection
}

/** Peers with a relay running between them. */
export const relayed = Effect.fnUntraced(function* (timeouts: Partial<RelayTimeouts> = {}) {
  const between = yield* peers
  return { ...between, relay: yield* startRelay(between, timeouts) }
})

/** Relays between the peers. As in the pipeline, the proxy's ends are reset when that is over, however it ends. */
export const startRelay = Effect.fnUntraced(function* ({ front, back }: Peers, timeouts: Partial<RelayTimeouts> = {}) {
  const network = yield* Network
  const reset = Effect.sync(() => {
    back.reset()
    front.reset()
  })
  return yield* network.relay(front, back, { ...PATIENT, ...timeouts }).pipe(
    Effect.onExit(() => reset),
    Effect.forkScoped({ startImmediately: true })
  )
})

export const assertRelayEnds = (relay: Fiber.Fiber<RelayEnd>, end: RelayEnd) =>
  Effect.map(Fiber.join(relay), (actual) => assert.strictEqual(actual, end))

/** Waits for more than `seen` bytes with all the time in the world. */
export const peek = Effect.fnUntraced(function* (connection: Connection, seen: number = 0) {
  const network = yield* Network
  return yield* connection.peek(seen, network.now() + PATIENCE_MS)
})

/** Takes exactly `length` bytes. */
export const receive = Effect.fnUntraced(function* (connection: Connection, length: number) {
  const received = Buffer.alloc(length)
  let at = 0
  while (at < length) {
    const bytes = (yield* peek(connection)).subarray(0, length - at)
    received.set(bytes, at)
    at += bytes.length
    connection.consume(bytes.length)
  }
  return received
})

/** Takes everything up to the end, and says how that came. */
export const receiveAll = Effect.fnUntraced(function* (
  connection: Connection
): Effect.fn.Return<Received, never, Network> {
  const chunks: Array<Buffer> = []
  while (true) {
    const bytes = yield* Effect.result(peek(connection))
    if (bytes._tag === "Failure") return { bytes: Buffer.concat(chunks), end: bytes.failure._tag }
    chunks.push(Buffer.from(bytes.success))
    connection.consume(bytes.success.length)
  }
})

export interface Received {
  readonly bytes: Buffer
  readonly end: PeekError["_tag"]
}

/** The connection ends so, with exactly these bytes before. */
export const assertReceives = Effect.fnUntraced(function* (
  connection: Connection,
  expected: Uint8Array,
  end: PeekError["_tag"]
) {
  const received = yield* receiveAll(connection)
  assertSameBytes(received.bytes, expected)
  assert.strictEqual(received.end, end)
})

export const assertEnds = (connection: Connection, end: PeekError["_tag"]) =>
  assertReceives(connection, new Uint8Array(0), end)

/** Writes until that fails, which it does when the other side has reset: the only way to see it behind a FIN. */
export const writeUntilReset = (connection: Connection): Effect.Effect<ConnectionReset> =>
  Effect.flip(Effect.forever(Effect.andThen(connection.write(SOME_BYTES), Effect.yieldNow)))

const SOME_BYTES = new Uint8Array(16 * 1024)

/** Bytes in which no stretch looks like another, so that whatever is lost, doubled or swapped shows. */
export const pattern = (length: number, seed = 1): Buffer => {
  const bytes = Buffer.alloc(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** Where the first difference is; a diff of megabytes helps nobody. */
export const assertSameBytes = (actual: Uint8Array, expected: Uint8Array): void => {
  const length = Math.min(actual.length, expected.length)
  let same = 0
  while (same < length && actual[same] === expected[same]) same++
  assert.deepStrictEqual(
    { length: actual.length, sameBytes: same },
    { length: expected.length, sameBytes: expected.length }
  )
}

/** Waits until what something else brings about holds. */
export const until = (options: SuiteOptions, condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.andThen(options.turn, until(options, condition))))

/** Waits until a deadline of the network's has passed somewhere else. */
export const elapse = Effect.fnUntraced(function* (options: SuiteOptions, ms: number) {
  const network = yield* Network
  const { near } = yield* connected
  const idle = yield* Effect.forkChild(near.peek(0, network.now() + ms), { startImmediately: true })
  yield* options.advance(ms)
  yield* Effect.flip(Fiber.join(idle))
}, Effect.scoped)

/** Holds `body` against a few drawn values, each in a scope of its own. */
export const forAll = Effect.fnUntraced(function* <A, E>(
  values: fc.Arbitrary<A>,
  numRuns: number,
  body: (value: A) => Effect.Effect<void, E, Network | Scope.Scope>
) {
  const run = Effect.runPromiseWith(yield* Effect.context<Network>())
  const property = fc.asyncProperty(values, (value) => run(Effect.scoped(body(value))))
  yield* Effect.promise(() => fc.assert(property, { numRuns }))
})
