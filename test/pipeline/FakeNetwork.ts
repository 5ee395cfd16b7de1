/**
 * A network in memory for the proxy alone: the test plays the other end of every connection, and answers the dials and
 * the relays. Everything happens within the call that causes it; only deadlines wait, on the test clock.
 */
import { Effect } from "effect"
import type { Clock } from "effect"
import type { Connection } from "../../src/net/Connection.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { ListenError, Network, type DialError, type RelayEnd, type RelayTimeouts } from "../../src/net/Network.ts"
import { acquireScoped } from "../../src/net/Scoped.ts"
import type { SocketAddress } from "../../src/net/SocketAddress.ts"
import { formatListenAddress } from "../../src/snapshot/Endpoint.ts"
import { FakeConnection } from "./FakeConnection.ts"

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
  end(end: Effect.Effect<RelayEnd, string>): void
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
  readonly wait = <A, E>(
    deadline: number,
    late: E,
    start: (resume: (answer: Effect.Effect<A, E>) => void) => void
  ): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      this.waiting++
      return Effect.callback<A, E>((resume) => start(resume)).pipe(
        Effect.timeoutOrElse({ duration: Math.max(0, deadline - this.now()), orElse: () => Effect.fail(late) }),
        Effect.ensuring(Effect.sync(() => void this.waiting--))
      )
    })

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
    terminate: () => Effect.die(NO_TLS),
    secure: () => Effect.die(NO_TLS),
    asDuplex: () => {
      throw new Error(NO_TLS)
    },
    relay: (client, backend, timeouts) => {
      if (!(client instanceof FakeConnection && backend instanceof FakeConnection)) return Effect.die("Not of ours.")
      client.onReset(undefined)
      const relaying = this.wait<RelayEnd, string>(Infinity, "A relay has no deadline.", (end) => {
        this.relays.push({ client, backend, timeouts, end })
      })
      return Effect.tap(Effect.orDie(relaying), (end) =>
        Effect.sync(() => {
          if (end === "done") client.end = backend.end = "closed"
        })
      )
    }
  })
}

const NO_TLS = "The fake network has no TLS and no streams."
