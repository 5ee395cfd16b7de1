/**
 * Reaches a backend by address or by name, within the descriptor budget.
 *
 * Look-ups are shared per name, kept for 5 s, and go on for the others when a caller leaves. Of several addresses the
 * next is tried 250 ms after the one before, or as soon as that failed, and the first to answer wins (Happy Eyeballs,
 * RFC 8305). A literal address waits for no look-up.
 */
import { Context, Deferred, Effect, Exit, Layer, Scope, Semaphore } from "effect"
import type { BackendAddress } from "../snapshot/Endpoint.ts"
import type { Hostname } from "../snapshot/Hostname.ts"
import type { Connection } from "./Connection.ts"
import type { BackendPlaces } from "./DescriptorBudget.ts"
import type { IpAddress } from "./IpAddress.ts"
import { acquireScoped } from "./Scoped.ts"
import { Network, type DialError, type LookupError } from "./Network.ts"

export class Dialer extends Context.Service<
  Dialer,
  {
    /**
     * Connects by `deadline` (the network's clock), the look-up included. The scope owns the connection; `place` counts
     * its socket while it lives. Interruption cancels the attempts.
     */
    dial(
      backend: BackendAddress,
      deadline: number,
      place: BackendPlaces
    ): Effect.Effect<Connection, DialError, Scope.Scope>
  }
>()("mc-proxy/net/Dialer") {
  static readonly layer: Layer.Layer<Dialer, never, Network> = Layer.effect(
    Dialer,
    Effect.gen(function* () {
      const network = yield* Network
      const lookup = yield* makeLookup

      const dialAddress = (ip: IpAddress, port: number, deadline: number, place: BackendPlaces) =>
        Effect.andThen(takeSocket(place), network.dial({ ip, port }, deadline))

      const dialName = Effect.fnUntraced(function* (
        name: Hostname,
        port: number,
        deadline: number,
        place: BackendPlaces
      ) {
        const addresses = yield* lookup(name).pipe(
          Effect.mapError((error): DialError => ({ _tag: "dial_failed", reason: error.message })),
          Effect.timeoutOrElse({
            duration: Math.max(0, deadline - network.now()),
            orElse: () => Effect.fail<DialError>({ _tag: "dial_timeout", reason: `no answer for the name ${name}` })
          })
        )
        const candidates = interleaveFamilies(addresses).slice(0, ADDRESSES_MAX)
        return yield* raceStaggered(candidates.map((ip) => dialAddress(ip, port, deadline, place)))
      })

      return Dialer.of({
        dial: ({ host, port }, deadline, place) =>
          typeof host === "string" ? dialName(host, port, deadline, place) : dialAddress(host, port, deadline, place)
      })
    })
  )
}

/** How long an answer to a look-up is used, errors included. */
const LOOKUP_TTL_MS = 5_000

/**
 * Look-ups under way at once. Node runs them in the pool of threads that files need as well, which the entry point makes
 * 16 wide: four are left to files however dead the resolver, and a few dead names do not hold up the others.
 */
const LOOKUPS_MAX = 12

/** Names remembered. They come from the routes alone; beyond this the one looked up first is forgotten. */
const NAMES_MAX = 10_000

/** Addresses tried of a name; a longer list would not fit into any sensible connect timeout. */
const ADDRESSES_MAX = 8

/** How long one address has the word before the next is tried (RFC 8305 8, "Connection Attempt Delay"). */
const ATTEMPT_DELAY_MS = 250

/** Takes a backend's socket out of the budget until the scope closes. */
const takeSocket = (place: BackendPlaces): Effect.Effect<void, DialError, Scope.Scope> =>
  acquireScoped(
    Effect.suspend(() => (place.takeBackend() ? Effect.void : Effect.fail(OUT_OF_DESCRIPTORS))),
    () => place.releaseBackend()
  )

const OUT_OF_DESCRIPTORS: DialError = { _tag: "descriptors", reason: "no socket is left in the descriptor budget" }

/** Alternates between the families, beginning with the first address's, otherwise in order (RFC 8305 4). */
const interleaveFamilies = (addresses: ReadonlyArray<IpAddress>): ReadonlyArray<IpAddress> => {
  const first = addresses.filter((ip) => ip.family === addresses[0]?.family)
  const other = addresses.filter((ip) => ip.family !== addresses[0]?.family)
  return first.flatMap((ip, i) => (i < other.length ? [ip, other[i]!] : [ip])).concat(other.slice(first.length))
}

/**
 * Starts each attempt when the one before has failed or has had its delay, and gives the first success; the others are
 * interrupted, and what they had acquired is released at once. When all fail, the last failure is the answer.
 */
const raceStaggered = <A, E>(
  attempts: ReadonlyArray<Effect.Effect<A, E, Scope.Scope>>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const started = attempts.map(() => Deferred.makeUnsafe<void>())
    const failed = attempts.map(() => Deferred.makeUnsafe<void>())
    let last: E | undefined
    const race = Effect.raceAll(
      attempts.map((attempt, i) =>
        Effect.gen(function* () {
          if (i > 0) {
            yield* Deferred.await(started[i - 1]!)
            yield* Effect.raceFirst(Effect.sleep(ATTEMPT_DELAY_MS), Deferred.await(failed[i - 1]!))
          }
          yield* Deferred.succeed(started[i]!, undefined)
          const scope = yield* Scope.fork(outer)
          return yield* Scope.provide(attempt, scope).pipe(
            Effect.tapError((error) => Effect.sync(() => (last = error))),
            Effect.onError((cause) =>
              Effect.andThen(Scope.close(scope, Exit.failCause(cause)), Deferred.succeed(failed[i]!, undefined))
            )
          )
        })
      )
    )
    return yield* Effect.mapError(race, (first) => last ?? first)
  })

/** Look-ups shared per name. Each runs in the layer's scope, so that its first caller may leave before it is done. */
const makeLookup = Effect.gen(function* () {
  const network = yield* Network
  const scope = yield* Effect.scope
  const running = yield* Semaphore.make(LOOKUPS_MAX)
  const names = new Map<Hostname, Lookup>()

  const run = (name: Hostname, lookup: Lookup) =>
    running
      .withPermits(1)(network.lookup(name))
      .pipe(
        Effect.onExit((exit) => {
          lookup.expiresAt = network.now() + LOOKUP_TTL_MS
          return Deferred.done(lookup.answer, exit)
        }),
        Effect.exit,
        Effect.forkIn(scope)
      )

  return (name: Hostname) =>
    // Not to be interrupted between being noted and being started: everyone after would wait for nobody.
    Effect.uninterruptibleMask((restore) => {
      const known = names.get(name)
      if (known !== undefined && (known.expiresAt === undefined || network.now() < known.expiresAt)) {
        return restore(Deferred.await(known.answer))
      }
      const lookup: Lookup = { answer: Deferred.makeUnsafe(), expiresAt: undefined }
      names.delete(name)
      names.set(name, lookup)
      if (names.size > NAMES_MAX) names.delete(names.keys().next().value!)
      return Effect.andThen(run(name, lookup), restore(Deferred.await(lookup.answer)))
    })
})

interface Lookup {
  readonly answer: Deferred.Deferred<ReadonlyArray<IpAddress>, LookupError>
  /** Undefined while it is under way. */
  expiresAt: number | undefined
}
