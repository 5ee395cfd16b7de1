import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { formatDuration, HOUR_MS, parseDuration } from "../../src/config/Duration.ts"

const parsed = (text: string) => Result.getOrElse(parseDuration(text), () => undefined)

describe("Duration", () => {
  it.each([
    ["300ms", 300],
    ["5s", 5000],
    ["1m30s", 90_000],
    ["2h", 7_200_000],
    ["1h2m3s4ms", 3_723_004],
    ["1h4ms", 3_600_004],
    ["5m", 300_000],
    ["5m5ms", 300_005],
    ["90s", 90_000],
    ["0s", 0]
  ])("reads %s", (text, ms) => {
    assert.strictEqual(parsed(text), ms)
  })

  it.each([
    "",
    "5",
    "s",
    "1.5s",
    "-5s",
    "+5s",
    "5 s",
    " 5s",
    "5s ",
    "5S",
    "30s1m",
    "1s1s",
    "1d",
    "1e3s",
    "5s\n",
    "５s"
  ])("refuses %j", (text) => {
    assert.strictEqual(parsed(text), undefined)
  })

  it("reads what it wrote as the same milliseconds", () => {
    fc.assert(
      fc.property(fc.nat({ max: 999_999_999 * HOUR_MS }), (ms) => {
        assert.strictEqual(parsed(formatDuration(ms)), ms)
      })
    )
  })

  it("stays a safe integer of milliseconds at its most digits", () => {
    assert.isTrue(Number.isSafeInteger(parsed("999999999h999999999m999999999s999999999ms")))
    assert.strictEqual(parsed("1000000000h"), undefined)
  })
})
