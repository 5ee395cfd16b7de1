import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { SlidingWindow } from "../../src/firewall/SlidingWindow.ts"
import { ipv4FromWord, parseIpAddress, type IpAddress } from "../../src/net/IpAddress.ts"
import { numberOf } from "./Networks.ts"

const ip = (text: string): IpAddress => parseIpAddress(text)!

const windowOf = (options: { limit: number; windowMs: number; admissionsMax?: number }) =>
  new SlidingWindow(options.limit, options.windowMs, () => Math.random() * 2 ** 32, options.admissionsMax ?? 64)

/** The same by a plain list of what was admitted when. */
class NaiveWindow {
  readonly #options: { readonly limit: number; readonly windowMs: number; readonly admissionsMax: number }
  readonly #lastAttempt = new Map<string, number>()
  #admissions: ReadonlyArray<{ readonly key: string; readonly at: number }> = []
  #attempts = 0
  forgotten = 0

  constructor(options: { readonly limit: number; readonly windowMs: number; readonly admissionsMax: number }) {
    this.#options = options
  }

  wouldAdmit(ip: IpAddress, now: number): boolean {
    const { limit, windowMs } = this.#options
    return this.#admissions.filter(({ key, at }) => key === keyOf(ip) && now - at < windowMs).length < limit
  }

  admit(ip: IpAddress, now: number): boolean {
    this.#lastAttempt.set(keyOf(ip), ++this.#attempts)
    if (!this.wouldAdmit(ip, now)) return false
    this.#admissions = this.#admissions.filter(({ at }) => now - at < this.#options.windowMs)
    if (this.#admissions.length === this.#options.admissionsMax) this.#forgetIdlest()
    this.#admissions = [...this.#admissions, { key: keyOf(ip), at: now }]
    return true
  }

  #forgetIdlest(): void {
    const attempt = (key: string) => this.#lastAttempt.get(key)!
    const idlest = this.#admissions.map(({ key }) => key).reduce((a, b) => (attempt(a) <= attempt(b) ? a : b))
    this.#admissions = this.#admissions.filter(({ key }) => key !== idlest)
    this.forgotten++
  }
}

const keyOf = (ip: IpAddress): string => (ip.family === 4 ? ip.text : `${numberOf(ip) >> 64n}/64`)

/** Seven keys: two pairs share one, and 1.2.3.4 has the words of 102:304::/64. */
const sources = [
  ...["1.2.3.4", "::ffff:1.2.3.4", "1.2.3.5", "102:304::1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"],
  ...["10.0.0.1", "10.0.0.2"]
].map(ip)

describe("SlidingWindow", () => {
  it("admits up to the limit, then again as each admission leaves the window", () => {
    const window = windowOf({ limit: 2, windowMs: 1000 })
    assert.isTrue(window.admit(ip("1.2.3.4"), 0))
    assert.isTrue(window.admit(ip("1.2.3.4"), 600))
    assert.isFalse(window.admit(ip("1.2.3.4"), 999))
    assert.isTrue(window.admit(ip("1.2.3.4"), 1000))
    assert.isFalse(window.admit(ip("1.2.3.4"), 1599))
    assert.isTrue(window.admit(ip("1.2.3.4"), 1600))
  })

  it("counts an admission until exactly one window later", () => {
    const window = windowOf({ limit: 1, windowMs: 1000 })
    assert.isTrue(window.admit(ip("1.2.3.4"), 5000))
    assert.isFalse(window.wouldAdmit(ip("1.2.3.4"), 5999))
    assert.isTrue(window.wouldAdmit(ip("1.2.3.4"), 6000))
    assert.isTrue(window.wouldAdmit(ip("1.2.3.4"), 6001))
  })

  it("does not count what it refuses", () => {
    const window = windowOf({ limit: 1, windowMs: 1000 })
    assert.isTrue(window.admit(ip("1.2.3.4"), 0))
    for (let now = 1; now < 1000; now += 100) assert.isFalse(window.admit(ip("1.2.3.4"), now))
    assert.isTrue(window.admit(ip("1.2.3.4"), 1000))
  })

  it("counts a /64 together and IPv4 addresses apart", () => {
    const window = windowOf({ limit: 1, windowMs: 1000 })
    assert.isTrue(window.admit(ip("2001:db8::1"), 0))
    assert.isFalse(window.admit(ip("2001:db8::ffff:1"), 0))
    assert.isTrue(window.admit(ip("2001:db8:0:1::1"), 0))
    assert.isTrue(window.admit(ip("1.2.3.4"), 0))
    assert.isTrue(window.admit(ip("1.2.3.5"), 0))
    assert.isFalse(window.admit(ip("::ffff:1.2.3.5"), 0))
  })

  it("forgets nobody at the cap, and the one idle longest, as a whole, past it", () => {
    const window = windowOf({ limit: 2, windowMs: 1000, admissionsMax: 4 })
    for (const source of ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"]) assert.isTrue(window.admit(ip(source), 0))
    assert.strictEqual(window.forgotten, 0)
    // A refused attempt is an attempt: it is the second that has been idle longest now.
    assert.isFalse(window.admit(ip("10.0.0.1"), 1))
    assert.isTrue(window.admit(ip("10.0.0.3"), 2))
    assert.strictEqual(window.forgotten, 1)
    assert.isFalse(window.wouldAdmit(ip("10.0.0.1"), 2))
    // Both of its admissions are gone, so there is room for two more before another is forgotten.
    assert.isTrue(window.admit(ip("10.0.0.2"), 2))
    assert.strictEqual(window.forgotten, 1)
    assert.isTrue(window.admit(ip("10.0.0.2"), 2))
    assert.strictEqual(window.forgotten, 2)
  })

  it("forgets nobody when what fills the memory has left the window", () => {
    const window = windowOf({ limit: 1, windowMs: 1000, admissionsMax: 100 })
    for (let i = 0; i < 100; i++) assert.isTrue(window.admit(ipv4FromWord(i), i))
    for (let i = 0; i < 100; i++) assert.isTrue(window.admit(ipv4FromWord(1000 + i), 1000 + i))
    assert.strictEqual(window.forgotten, 0)
  })

  it("agrees with a list of admissions for any sources, times and limits, at and past the cap", () => {
    const attempt = fc.record({ source: fc.nat(sources.length - 1), waitMs: fc.oneof(fc.constant(0), fc.nat(8)) })
    const options = fc
      .record({ limit: fc.integer({ min: 1, max: 4 }), windowMs: fc.integer({ min: 1, max: 25 }), spare: fc.nat(8) })
      .map(({ limit, windowMs, spare }) => ({ limit, windowMs, admissionsMax: limit + spare }))
    let forgotten = 0
    fc.assert(
      fc.property(
        fc.array(attempt, { maxLength: 120, size: "max" }),
        options,
        fc.boolean(),
        (attempts, options, spreads) => {
          const random = spreads ? () => Math.random() * 2 ** 32 : () => 0
          const window = new SlidingWindow(options.limit, options.windowMs, random, options.admissionsMax)
          const model = new NaiveWindow(options)
          let now = 0
          for (const { source, waitMs } of attempts) {
            now += waitMs
            assert.strictEqual(window.admit(sources[source]!, now), model.admit(sources[source]!, now))
            assert.strictEqual(window.forgotten, model.forgotten)
            for (const other of sources) assert.strictEqual(window.wouldAdmit(other, now), model.wouldAdmit(other, now))
          }
          forgotten += model.forgotten
        }
      ),
      { numRuns: 120 }
    )
    assert.isAbove(forgotten, 0)
  })
})
