/**
 * A network in memory for the proxy alone: the test plays the other end of every connection, and answers the dials and
 * the relays. Everything happens within the call that causes it; only deadlines wait, on the test clock.
 */
import { Effect } from "effect"
import type { Clock } from "effect"
import { ConnectionReset, PeekTimeout, PeerEnded, type Connection, type PeekError } from "../../src/net/Connection.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { ListenError, Network, type DialError, type RelayEnd, type RelayTimeouts } from "../../src/net/Network.ts"
import { acquireScoped } from "../../src/net/Scoped.ts"
import type { SocketAddress } from "../../src/net/SocketAddress.ts"
import { formatListenAddress } from "../../src/snapshot/Endpoint.ts"

/** The proxy's end of a connection, and in `send`, `finish` and `fail` the test's hold on the other. */
export class FakeConnection implements Connection {
  readonly peer: SocketAddress
  readonly local: SocketAddress
  bytesWritten = 0
  /** What the proxy has written by itself, a chunk a write. */
  readonly written: Array<Uint8Array> = []
  /** How often the proxy has asked for bytes. */
  peeks = 0
  /** What the proxy has made of it. */
  end: "open" | "reset" | "closed" = "open"
  /** What a write waits for, and ends as. */
  accepting: Effect.Effect<void, ConnectionReset> = Effect.void
  /** Bytes of the other end's that the proxy has not consumed. */
  unread: Uint8Array = new Uint8Array(0)
  readonly endWrite = Effect.die("Nobody but a relay sends a FIN.")
  readonly #network: FakeNetwork
  #ended: PeekError | undefined
  #wake: (() => void) | undefined
  #resetListener: (() => void) | undefined

  constructor(network: FakeNetwork, peer: SocketAddress, local: SocketAddress) {
    this.#network = network
    this.peer = peer
    this.local = local
  }

  send(bytes: Uint8Array): void {
    this.unread = Buffer.concat([this.unread, bytes])
    this.#wake?.()
  }

  /** FIN. */
  finish(): void {
    this.#ended ??= PeerEnded
    this.#wake?.()
  }

  /** RST. */
  fail(): void {
    this.#ended = ConnectionReset
    this.#wake?.()
    this.onReset(this.#resetListener)
  }

  peek(seen: number, deadline: number): Effect.Effect<Uint8Array, PeekError> {
    this.peeks++
    return this.#network.wait<Uint8Array, PeekError>(deadline, PeekTimeout, (resume) => {
      this.#wake = () => {
        if (this.end === "open" && this.unread.length > seen) resume(Effect.succeed(this.unread))
        else if (this.end !== "open") resume(Effect.fail(ConnectionReset))
        else if (this.#ended !== undefined) resume(Effect.fail(this.#ended))
      }
      this.#wake()
    })
  }

  consume(count: number): void {
    this.unread = this.unread.subarray(count)
  }

  write(bytes: Uint8Array): Effect.Effect<void, ConnectionReset> {
    return Effect.map(this.accepting, () => {
      this.written.push(bytes)
      this.bytesWritten += bytes.length
    })
  }

  reset(): void {
    this.#resetListener = undefined
    if (this.end === "open") this.end = "reset"
    this.#wake?.()
  }

  onReset(listener: (() => void) | undefined): void {
    this.#resetListener = this.#ended === ConnectionReset ? undefined : listener
    if (this.#ended === ConnectionReset) listener?.()
  }
}

/** A dial of the proxy's. It has ended when nobody waits for the answer. */
export interface Dial {
  readonly address: SocketAddress
  readonly deadline: number
  answer(answer: Effect.Effect<FakeConnection, DialError>): void
}

/** A relay of the proxy's. When it is done both ends are closed, in all other cases they are left as they are. */
export interface Relay {
  readonly client: FakeConnection
  readonly backend: FakeConnection
  readonly timeouts: RelayTimeouts
  end(end: Effect.Effect<RelayEnd>): void
}

export class FakeNetwork {
  /** Who takes the connections of each listener, by its `addr`. */
  readonly listening = new Map<string, (connection: Connection) => void>()
  /** Listeners that cannot be bound, by `addr`. */
  readonly unbindable = new Set<string>()
  /** What binding waits for. */
  binding: Effect.Effect<void> = Effect.void
  readonly dials: Array<Dial> = []
  readonly relays: Array<Relay> = []
  /** How many peeks, dials and relays are waiting. */
  waiting = 0
  readonly #clock: Clock.Clock

  constructor(clock: Clock.Clock) {
    this.#clock = clock
  }

  /** Counts from an origin that no other clock has. */
  readonly now = (): number => 7_000_000 + Number(this.#clock.monotonicTimeNanosUnsafe()) / 1e6

  /** Waits for `resume`, and fails as `late` at the deadline. */
  wait<A, E>(deadline: number, late: E, start: (resume: (answer: Effect.Effect<A, E>) => void) => void) {
    const answered = Effect.callback<A, E>((resume) => start(resume))
    return this.#counted(
      Effect.suspend(() =>
        Effect.timeoutOrElse(answered, {
          duration: Math.max(0, deadline - this.now()),
          orElse: () => Effect.fail(late)
        })
      )
    )
  }

  #counted<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      this.waiting++
      return Effect.ensuring(
        effect,
        Effect.sync(() => void this.waiting--)
      )
    })
  }

  readonly service = Network.of({
    now: this.now,
    lookup: () => Effect.die("The backends of these tests are addresses."),
    listen: (address, accept) => {
      const addr = formatListenAddress(address)
      if (this.unbindable.has(addr)) return Effect.fail(new ListenError({ message: `cannot listen on ${addr}` }))
      const bind = Effect.map(this.binding, () => void this.listening.set(addr, accept))
      const bound = { ip: address.ip ?? parseIpAddress("::")!, port: address.port }
      return Effect.as(
        acquireScoped(bind, () => void this.listening.delete(addr)),
        bound
      )
    },
    dial: (address, deadline) => {
      const late: DialError = { _tag: "dial_timeout", reason: "no answer" }
      const answered = this.wait<FakeConnection, DialError>(deadline, late, (answer) => {
        this.dials.push({ address, deadline, answer })
      })
      return acquireScoped(answered, (backend) => backend.reset())
    },
    relay: (client, backend, timeouts) => {
      if (!(client instanceof FakeConnection && backend instanceof FakeConnection)) return Effect.die("Not of ours.")
      client.onReset(undefined)
      const relaying = Effect.callback<RelayEnd>((end) => void this.relays.push({ client, backend, timeouts, end }))
      return Effect.tap(this.#counted(relaying), (end) =>
        Effect.sync(() => {
          if (end === "done") client.end = backend.end = "closed"
        })
      )
    }
  })
}
