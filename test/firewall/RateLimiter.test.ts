import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { RateLimiter } from "../../src/firewall/RateLimiter.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"

const source = parseIpAddress("192.0.2.1")!

describe("RateLimiter", () => {
  it.effect("admits the limit of a source, and again one window after", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter
      yield* TestClock.adjust("1 hour")
      assert.isTrue(yield* limiter.admit(source))
      assert.isTrue(yield* limiter.admit(source))
      assert.isFalse(yield* limiter.admit(source))
      yield* TestClock.adjust(59_999)
      assert.isFalse(yield* limiter.admit(source))
      yield* TestClock.adjust(1)
      assert.isTrue(yield* limiter.admit(source))
      assert.strictEqual(yield* limiter.forgotten, 0)
    }).pipe(Effect.provide(RateLimiter.layer({ limit: 2, windowMs: 60_000 })))
  )

  it.effect("says what it would do without doing it", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter
      for (let i = 0; i < 3; i++) assert.isTrue(yield* limiter.wouldAdmit(source))
      assert.isTrue(yield* limiter.admit(source))
      assert.isFalse(yield* limiter.wouldAdmit(source))
      yield* TestClock.adjust(1000)
      assert.isTrue(yield* limiter.wouldAdmit(source))
    }).pipe(Effect.provide(RateLimiter.layer({ limit: 1, windowMs: 1000 })))
  )

  it.effect("goes on as before when the wall clock is set back", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter
      yield* TestClock.adjust("1 day")
      assert.isTrue(yield* limiter.admit(source))
      yield* TestClock.setTime(0)
      assert.isFalse(yield* limiter.admit(source))
      yield* TestClock.adjust(1000)
      assert.isTrue(yield* limiter.admit(source))
    }).pipe(Effect.provide(RateLimiter.layer({ limit: 1, windowMs: 1000 })))
  )

  layer(RateLimiter.layer({ limit: 0, windowMs: 1000 }))("with a limit of 0", (it) => {
    it.effect("admits everyone", () =>
      Effect.gen(function* () {
        const limiter = yield* RateLimiter
        for (let i = 0; i < 100; i++) assert.isTrue(yield* limiter.admit(source))
        assert.isTrue(yield* limiter.wouldAdmit(source))
        assert.strictEqual(yield* limiter.forgotten, 0)
      })
    )
  })
})
