/**
 * A network of which the test is the other end: it sees each look-up and dial as it is asked for, and answers when and
 * as it likes. Time is the `TestClock`'s. Nothing listens and no byte is carried.
 */
import { Clock, Context, Deferred, Effect, Exit, Layer } from "effect"
import type { Scope } from "effect"
import type { Connection } from "../../src/net/Connection.ts"
import type { IpAddress } from "../../src/net/IpAddress.ts"
import { LookupError, Network, type DialError } from "../../src/net/Network.ts"
import { formatSocketAddress, type SocketAddress } from "../../src/net/SocketAddress.ts"

export class StubNetwork extends Context.Service<
  StubNetwork,
  {
    /** In the order in which they were asked for. */
    readonly lookups: Array<StubLookup>
    readonly dials: Array<StubDial>
  }
>()("mc-proxy/test/StubNetwork") {
  static readonly layer: Layer.Layer<StubNetwork | Network> = Layer.effectContext(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const lookups: Array<StubLookup> = []
      const dials: Array<StubDial> = []
      const now = () => clock.currentTimeMillisUnsafe()
      const network = Network.of({
        now,
        listen: () => Effect.die("Nothing listens on this network."),
        relay: () => Effect.die(CARRIES_NOTHING),
        terminate: () => Effect.die(CARRIES_NOTHING),
        secure: () => Effect.die(CARRIES_NOTHING),
        asDuplex: () => {
          throw new Error(CARRIES_NOTHING)
        },
        lookup: (name) =>
          Effect.suspend(() => {
            const answer = Deferred.makeUnsafe<ReadonlyArray<IpAddress>, LookupError>()
            lookups.push(new StubLookup(name, answer))
            return Deferred.await(answer)
          }),
        dial: (address, deadline) =>
          Effect.suspend(() => {
            const dial = new StubDial(address, now())
            dials.push(dial)
            return dial.run(deadline - now())
          })
      })
      return Context.make(Network, network).pipe(Context.add(StubNetwork, { lookups, dials }))
    })
  )
}

export class StubLookup {
  readonly name: string
  readonly #answer: Deferred.Deferred<ReadonlyArray<IpAddress>, LookupError>

  constructor(name: string, answer: Deferred.Deferred<ReadonlyArray<IpAddress>, LookupError>) {
    this.name = name
    this.#answer = answer
  }

  succeed(addresses: ReadonlyArray<IpAddress>): Effect.Effect<boolean> {
    return Deferred.succeed(this.#answer, addresses)
  }

  fail(message: string): Effect.Effect<boolean> {
    return Deferred.fail(this.#answer, new LookupError({ message }))
  }
}

export class StubDial {
  readonly address: string
  /** When it was asked for. */
  readonly at: number
  state: "waiting" | "cancelled" | "failed" | "open" | "closed" = "waiting"
  readonly #peer: SocketAddress
  readonly #answer = Deferred.makeUnsafe<void, DialError>()

  constructor(peer: SocketAddress, at: number) {
    this.#peer = peer
    this.address = formatSocketAddress(peer)
    this.at = at
  }

  readonly succeed: Effect.Effect<boolean> = Effect.suspend(() => Deferred.succeed(this.#answer, undefined))

  fail(reason: string): Effect.Effect<boolean> {
    const error: DialError = { _tag: "dial_failed", reason }
    return Deferred.fail(this.#answer, error)
  }

  run(timeoutMs: number): Effect.Effect<Connection, DialError, Scope.Scope> {
    const answered = Deferred.await(this.#answer).pipe(
      Effect.timeoutOrElse({
        duration: timeoutMs,
        orElse: () => Effect.fail<DialError>({ _tag: "dial_timeout", reason: `no answer from ${this.address}` })
      }),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          this.state = Exit.isSuccess(exit) ? "open" : Exit.hasInterrupts(exit) ? "cancelled" : "failed"
        })
      )
    )
    const close = Effect.sync(() => {
      this.state = "closed"
    })
    return Effect.acquireRelease(Effect.as(answered, silentConnection(this.#peer)), () => close, {
      interruptible: true
    })
  }
}

const CARRIES_NOTHING = "This network carries nothing."

/** A connection of which only the peer is of interest. */
const silentConnection = (peer: SocketAddress): Connection => ({
  peer,
  local: peer,
  bytesRead: 0,
  bytesWritten: 0,
  peek: () => Effect.never,
  consume: () => {},
  write: () => Effect.never,
  endWrite: Effect.void,
  reset: () => {},
  onReset: () => {}
})
