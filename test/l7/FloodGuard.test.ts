import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import {
  FloodGuard,
  PING_ANSWER_BYTES_MAX,
  PINGS_A_SECOND,
  PINGS_MAX,
  RESETS_A_SECOND,
  RESETS_MAX,
  SETTINGS_A_SECOND,
  SETTINGS_MAX,
  type Flood
} from "../../src/l7/FloodGuard.ts"

const START = 5000

interface Kind {
  readonly flood: Flood
  readonly max: number
  readonly perSecond: number
  readonly act: (guard: FloodGuard, now: number) => Flood | undefined
}

const KINDS: ReadonlyArray<Kind> = [
  { flood: "resets", max: RESETS_MAX, perSecond: RESETS_A_SECOND, act: (guard, now) => guard.abandoned(now) },
  { flood: "pings", max: PINGS_MAX, perSecond: PINGS_A_SECOND, act: (guard, now) => guard.ping(now, 0) },
  { flood: "settings", max: SETTINGS_MAX, perSecond: SETTINGS_A_SECOND, act: (guard, now) => guard.settings(now) }
]

const times = (count: number, act: () => Flood | undefined): Flood | undefined => {
  for (let i = 0; i < count; i++) {
    const flood = act()
    if (flood !== undefined) return flood
  }
  return undefined
}

describe.each(KINDS)("$flood", ({ act, flood, max, perSecond }) => {
  it("may come all at once up to their number, and no more", () => {
    const guard = new FloodGuard(START)
    assert.isUndefined(times(max, () => act(guard, START)))
    assert.strictEqual(act(guard, START), flood)
  })

  it("may come for ever at their rate, and not faster", () => {
    const guard = new FloodGuard(START)
    const seconds = (2 * max) / perSecond
    let now = START
    const atRate = (rate: number) => times(rate * seconds, () => act(guard, (now += 1000 / rate)))
    assert.isUndefined(atRate(perSecond))
    assert.strictEqual(atRate(3 * perSecond), flood)
  })

  it("save up no more than their number, however long the client was quiet", () => {
    const guard = new FloodGuard(START)
    const later = START + 24 * 3600 * 1000
    assert.isUndefined(times(max, () => act(guard, later)))
    assert.strictEqual(act(guard, later), flood)
  })

  it("do not count for one another", () => {
    const guard = new FloodGuard(START)
    times(max, () => act(guard, START))
    for (const other of KINDS) if (other.flood !== flood) assert.isUndefined(other.act(guard, START))
  })
})

it("lets a client drop as many requests as it lets be answered, at any speed", () => {
  const guard = new FloodGuard(START)
  const busy = times(20 * RESETS_MAX, () => {
    guard.answered()
    return guard.abandoned(START)
  })
  assert.isUndefined(busy)
  assert.strictEqual(
    times(RESETS_MAX, () => guard.abandoned(START)),
    "resets"
  )
})

it("gives nothing in advance for answers", () => {
  const guard = new FloodGuard(START)
  for (let i = 0; i < RESETS_MAX; i++) guard.answered()
  assert.isUndefined(times(RESETS_MAX, () => guard.abandoned(START)))
  assert.strictEqual(guard.abandoned(START), "resets")
})

it("lets a client ping for all that it is sent, and counts pings that only ask for their answer", () => {
  const pings = (bytesEach: number) => {
    const guard = new FloodGuard(START)
    let sent = 0
    return times(2 * PINGS_MAX, () => guard.ping(START, (sent += bytesEach)))
  }
  assert.isUndefined(pings(PING_ANSWER_BYTES_MAX + 1))
  assert.strictEqual(pings(PING_ANSWER_BYTES_MAX), "pings")
})

it("never cuts off who stays within the number in every stretch of time that refills it", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(SETTINGS_MAX), fc.nat(3000)), { maxLength: 40 }), (bursts) => {
      const guard = new FloodGuard(START)
      let now = START
      let left = SETTINGS_MAX
      for (const [count, pauseMs] of bursts) {
        now += pauseMs
        left = Math.min(SETTINGS_MAX, left + (pauseMs * SETTINGS_A_SECOND) / 1000)
        const fits = count <= left
        // Sums in another order differ by less than one.
        if (Math.abs(left - count) < 1) continue
        assert.strictEqual(times(count, () => guard.settings(now)) === undefined, fits)
        if (!fits) return
        left -= count
      }
    })
  )
})
