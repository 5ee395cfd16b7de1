import { assert, it } from "@effect/vitest"
import { formatAge, formatBytes } from "../../src/ctl/Quantity.ts"

it("tells an age in its two largest units", () => {
  const second = 1000
  const minute = 60 * second
  const hour = 60 * minute
  const day = 24 * hour
  const ages: ReadonlyArray<readonly [number, string]> = [
    [-5 * second, "0s"],
    [999, "0s"],
    [59 * second, "59s"],
    [minute, "1m 0s"],
    [hour - 1, "59m 59s"],
    [3 * hour + 2 * minute + second, "3h 2m"],
    [400 * day + 23 * hour, "400d 23h"]
  ]
  for (const [ms, text] of ages) assert.strictEqual(formatAge(ms), text)
})

it("tells a size in two digits or more, and never as 1024 of a unit", () => {
  const sizes: ReadonlyArray<readonly [number, string]> = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1024 * 9.9, "9.9 KiB"],
    [1024 * 9.96, "10 KiB"],
    [1024 * 1023.4, "1023 KiB"],
    [1024 * 1023.6, "1.0 MiB"],
    [3 * 1024 ** 4, "3.0 TiB"],
    [Number.MAX_SAFE_INTEGER, "8.0 PiB"],
    [1e30, "888178419700125 PiB"]
  ]
  for (const [bytes, text] of sizes) assert.strictEqual(formatBytes(bytes), text)
})
