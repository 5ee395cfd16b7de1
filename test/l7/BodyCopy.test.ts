import { assert, it } from "@effect/vitest"
import { BodyCopy } from "../../src/l7/BodyCopy.ts"
import { bodyOf, Sink } from "./FakeExchange.ts"

it("leaves its sender alone once it is stopped, also while its receiver says that it has closed", () => {
  const from = bodyOf("some bytes")
  const to = new Sink()
  const ends: Array<string> = []
  // Told before the copy is.
  to.writable.once("close", () => {
    copy.stop()
    from.readable.resume()
  })
  const copy = new BodyCopy(from, to, (end) => ends.push(end))
  to.writable.emit("close")
  assert.isFalse(from.readable.isPaused())
  assert.deepStrictEqual(ends, [])
})
