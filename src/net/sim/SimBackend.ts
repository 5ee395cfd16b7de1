/**
 * A listener in a test's hand: it accepts when the test does, and until then connections wait in its backlog.
 */
import { Effect, Exit, Scope } from "effect"
import { acquireScoped } from "../Scoped.ts"
import type { SocketAddress } from "../SocketAddress.ts"
import type { SimHost } from "./SimHost.ts"
import type { SimListener } from "./SimListener.ts"
import { SimPeer } from "./SimPeer.ts"

export class SimBackend {
  /** As bound, with the port that it got. */
  readonly address: SocketAddress
  /** The next connection; waits for one. The scope resets it. */
  readonly accept: Effect.Effect<SimPeer, never, Scope.Scope> = Effect.flatMap(
    acquireScoped(
      Effect.sync((): Slot => ({ peer: undefined })),
      ({ peer }) => peer?.reset()
    ),
    (slot) => this.#next(slot)
  )
  readonly #listener: SimListener
  readonly #host: SimHost
  /** Who waits for a connection, in order. */
  readonly #waiting: Array<() => void> = []

  constructor(listener: SimListener, host: SimHost) {
    this.address = listener.address
    this.#listener = listener
    this.#host = host
    listener.arrived = () => this.#waiting.shift()?.()
  }

  /** How many wait to be accepted. */
  get waiting(): number {
    return this.#listener.waiting
  }

  /** Runs `handle` for each connection, which is reset when that has ended, unless both ways have finished. */
  serve(handle: (peer: SimPeer) => Effect.Effect<void>): Effect.Effect<void, never, Scope.Scope> {
    const serveNext = Effect.gen({ self: this }, function* () {
      const own = yield* Scope.fork(yield* Effect.scope)
      const peer = yield* Scope.provide(this.accept, own)
      yield* Effect.forkScoped(Effect.ensuring(handle(peer), Scope.close(own, Exit.void)))
    })
    return Effect.asVoid(Effect.forkScoped(Effect.forever(serveNext)))
  }

  readonly #next = (slot: Slot): Effect.Effect<SimPeer> =>
    Effect.callback<SimPeer>((resume) => {
      const take = () => {
        const connection = this.#host.accept(this.#listener)
        if (connection === undefined) return void this.#waiting.unshift(take)
        slot.peer = new SimPeer(connection)
        resume(Effect.succeed(slot.peer))
      }
      if (this.#listener.waiting > 0) take()
      else this.#waiting.push(take)
      return Effect.sync(() => {
        const index = this.#waiting.indexOf(take)
        if (index >= 0) this.#waiting.splice(index, 1)
      })
    })
}

/** What the scope has of a connection before there is one. */
interface Slot {
  peer: SimPeer | undefined
}
