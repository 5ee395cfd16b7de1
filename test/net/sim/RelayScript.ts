/**
 * A client and a backend that do what a script says, with a relay between them, played to the end on a test clock.
 *
 * The proxy in the middle is as small as can be: it accepts, dials, relays, and resets both ends when that is over.
 */
import { Effect, Fiber, Latch, Layer, Queue } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { Connection } from "../../../src/net/Connection.ts"
import { Network, type RelayEnd } from "../../../src/net/Network.ts"
import { DEFAULT_LINK, type Link } from "../../../src/net/sim/Link.ts"
import { SimConnection } from "../../../src/net/sim/SimConnection.ts"
import { SimNetwork } from "../../../src/net/sim/SimNetwork.ts"
import type { Received, SimPeer } from "../../../src/net/sim/SimPeer.ts"
import type { TraceEvent } from "../../../src/net/sim/Trace.ts"
import { LOOPBACK, pattern } from "../suite/Fixture.ts"

export interface RelayScript {
  readonly seed: number
  readonly link: Link
  readonly client: PeerScript
  readonly backend: PeerScript
}

/** What a peer does at once in two ways: it writes and then ends its side, and it reads to the end. */
export interface PeerScript {
  readonly writes: ReadonlyArray<Step>
  readonly end: "finish" | "reset" | "nothing"
  readonly reads: ReadonlyArray<Step>
}

/** So many bytes, after a pause in which the peer is stalled. */
export interface Step {
  readonly pauseMs: number
  readonly bytes: number
}

export interface Played {
  /** Undefined when the relay was interrupted. */
  readonly relayEnd: RelayEnd | undefined
  readonly client: PlayedPeer
  readonly backend: PlayedPeer
  readonly trace: ReadonlyArray<TraceEvent>
  /** The most that one end's kernel held of either kind, over its bound; at most 0 in a network that keeps them. */
  readonly overBound: number
  /** What was left when both peers were gone, beside the two listeners. */
  readonly left: { readonly sockets: number; readonly events: number }
}

export interface PlayedPeer {
  /** All that it would write, of which the first `accepted` were taken from it. */
  readonly bytes: Uint8Array
  readonly accepted: number
  readonly received: Received
}

/** With `interruptAt` the relay is interrupted at that event, as soon as a fiber has its turn. */
export const play = (script: RelayScript, interruptAt = Infinity): Promise<Played> => {
  const trace: Array<TraceEvent> = []
  const connections: Array<SimConnection> = []
  const interrupted = Latch.makeUnsafe()
  let overBound = -Infinity
  const onEvent = (event: TraceEvent) => {
    for (const { socket } of connections) {
      const { sending, receiving } = socket.held
      overBound = Math.max(overBound, sending - script.link.sendBytesMax, receiving - script.link.receiveBytesMax)
    }
    if (trace.push(event) === interruptAt) interrupted.openUnsafe()
  }
  const playing = Effect.gen(function* () {
    const network = yield* Network
    const sim = yield* SimNetwork
    const accepted = yield* Queue.unbounded<Connection>()
    const address = yield* network.listen(LOOPBACK, (connection) => Queue.offerUnsafe(accepted, connection))
    const backends = yield* sim.listenBackend(LOOPBACK)
    const ends = yield* Effect.scoped(
      Effect.gen(function* () {
        const proxy = yield* Effect.forkChild(
          Effect.gen(function* () {
            const front = yield* Effect.acquireRelease(Queue.take(accepted), (connection) =>
              Effect.sync(() => connection.reset())
            )
            const back = yield* network.dial(backends.address, Infinity)
            connections.push(...[front, back].filter((connection) => connection instanceof SimConnection))
            return yield* network.relay(front, back, TIMEOUTS)
          }).pipe(Effect.scoped)
        )
        const peers = Effect.all([sim.connect(address), backends.accept], { concurrency: "unbounded" })
        const meeting = yield* Effect.forkChild(onClock(peers))
        yield* TestClock.adjust(MEETING_MS)
        const [client, backend] = yield* Fiber.join(meeting)
        connections.push(client.connection, backend.connection)
        yield* Effect.forkChild(Effect.andThen(interrupted.await, Fiber.interrupt(proxy)), { startImmediately: true })
        const acts = [act(client, script.client, 1), act(backend, script.backend, 2)] as const
        const acting = yield* Effect.forkChild(onClock(Effect.all(acts, { concurrency: "unbounded" })))
        yield* TestClock.adjust(ALL_MS)
        const relayed = yield* Fiber.await(proxy)
        const [clientEnd, backendEnd] = yield* Fiber.join(acting)
        const relayEnd = relayed._tag === "Success" ? relayed.value : undefined
        return { relayEnd, client: clientEnd, backend: backendEnd }
      })
    )
    yield* TestClock.adjust(MEETING_MS)
    return { ...ends, trace, overBound, left: { sockets: sim.openSockets() - 2, events: sim.pendingEvents() } }
  })
  const network = SimNetwork.layer({ seed: script.seed, link: script.link, trace: onEvent })
  const layer = Layer.provideMerge(network, TestClock.layer())
  return Effect.runPromise(playing.pipe(Effect.scoped, Effect.provide(layer)))
}

/** Begins with a sleep: what the test clock has woken it lets settle before it moves on, also where nothing takes time. */
const onClock = Effect.delay(1)

const TIMEOUTS = { idleTimeoutMs: 60_000, halfCloseTimeoutMs: 60_000 }

/** More than two handshakes take over the slowest link. */
const MEETING_MS = 1_000

/** More than any script takes, with the relay's timeouts. */
const ALL_MS = 600_000

const act = (peer: SimPeer, { writes, end, reads }: PeerScript, seed: number): Effect.Effect<PlayedPeer> => {
  const bytes = pattern(
    writes.reduce((sum, step) => sum + step.bytes, 0),
    seed
  )
  const writing = Effect.gen(function* () {
    let at = 0
    for (const step of writes) {
      yield* Effect.sleep(step.pauseMs)
      yield* peer.write(bytes.subarray(at, at + step.bytes))
      at += step.bytes
    }
    if (end === "finish") yield* peer.finish
    if (end === "reset") peer.reset()
  })
  const reading = Effect.gen(function* () {
    const chunks: Array<Uint8Array> = []
    for (const step of reads) {
      yield* Effect.sleep(step.pauseMs)
      chunks.push(yield* peer.read(step.bytes))
    }
    const rest = yield* peer.readAll
    return { bytes: Buffer.concat([...chunks, rest.bytes]), end: rest.end }
  })
  return Effect.map(
    Effect.all([reading, Effect.ignore(writing)], { concurrency: "unbounded" }),
    ([received]): PlayedPeer => ({ bytes, accepted: peer.connection.bytesWritten, received })
  )
}

const steps = (bytesMax: number): fc.Arbitrary<ReadonlyArray<Step>> =>
  fc.array(
    fc.record({
      pauseMs: fc.oneof(fc.constant(0), fc.nat(50)),
      bytes: fc.oneof(fc.nat(20), fc.nat(bytesMax))
    }),
    { maxLength: 6 }
  )

const peerScripts = (end: fc.Arbitrary<PeerScript["end"]>): fc.Arbitrary<PeerScript> =>
  fc.record({ writes: steps(20_000), end, reads: steps(5_000) })

const links: fc.Arbitrary<Link> = fc.record({
  latencyMs: fc.constantFrom(DEFAULT_LINK.latencyMs, { min: 0, max: 5 }, { min: 20, max: 40 }),
  segmentBytes: fc.constantFrom({ min: 1, max: 700 }, { min: 1, max: 10_000 }, { min: 1460, max: 1460 }),
  sendBytesMax: fc.constantFrom(1, 1_000, 30_000),
  receiveBytesMax: fc.constantFrom(100, 5_000, 65_536)
})

/** Scripts in which each side ends as drawn. */
export const relayScripts = (end: fc.Arbitrary<PeerScript["end"]>): fc.Arbitrary<RelayScript> =>
  fc
    .record({ seed: fc.nat(), link: links, client: peerScripts(end), backend: peerScripts(end) })
    // A byte at a time is for short scripts.
    .map((script) => (script.link.sendBytesMax > 1 ? script : shortened(script)))

const shortened = (script: RelayScript): RelayScript => {
  const shorten = (all: ReadonlyArray<Step>) => all.map((step) => ({ ...step, bytes: step.bytes % 50 }))
  const both = ({ writes, end, reads }: PeerScript) => ({ writes: shorten(writes), end, reads: shorten(reads) })
  return { ...script, client: both(script.client), backend: both(script.backend) }
}
