/**
 * The per-source rate limit: at most so many connections of an address (IPv6: of its /64) within a window that slides.
 *
 * One process remembers its own admissions here, in a `SlidingWindow`; the methods are effects so that several proxies
 * can share a quota kept elsewhere. Time is the clock's monotonic time: setting the wall clock changes nothing. There
 * are no timers; what has left the window is dropped by later attempts.
 */
import { Clock, Context, Effect, Layer, Random } from "effect"
import type { IpAddress } from "../net/IpAddress.ts"
import { SlidingWindow } from "./SlidingWindow.ts"

export class RateLimiter extends Context.Service<
  RateLimiter,
  {
    /** Records an admission of `ip` and answers true; or false, recording none, when its quota is used. */
    admit(ip: IpAddress): Effect.Effect<boolean>
    /** What `admit` would answer. It is no attempt: it does not keep the source from being forgotten. */
    wouldAdmit(ip: IpAddress): Effect.Effect<boolean>
    /** Sources forgotten since the start because too much was remembered. */
    readonly forgotten: Effect.Effect<number>
  }
>()("mc-proxy/firewall/RateLimiter") {
  /** `limit` connections each `windowMs`; a limit of 0 admits everyone and remembers nothing. */
  static layer(rate: RateLimit): Layer.Layer<RateLimiter> {
    return rate.limit === 0 ? Layer.succeed(RateLimiter, unlimited) : Layer.effect(RateLimiter, make(rate))
  }
}

export interface RateLimit {
  readonly limit: number
  readonly windowMs: number
  /** How many are remembered; their memory is taken at once. By default as many as the contract says. */
  readonly admissionsMax?: number
}

const unlimited = RateLimiter.of({
  admit: () => Effect.succeed(true),
  wouldAdmit: () => Effect.succeed(true),
  forgotten: Effect.succeed(0)
})

const make = Effect.fnUntraced(function* ({ admissionsMax, limit, windowMs }: RateLimit) {
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const window = new SlidingWindow(limit, windowMs, () => random.nextIntUnsafe(), admissionsMax)
  const nowMs = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  return RateLimiter.of({
    admit: (ip) => Effect.sync(() => window.admit(ip, nowMs())),
    wouldAdmit: (ip) => Effect.sync(() => window.wouldAdmit(ip, nowMs())),
    forgotten: Effect.sync(() => window.forgotten)
  })
})
