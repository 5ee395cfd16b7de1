import { assert, it } from "@effect/vitest"
import { fuzz } from "./Fuzzer.ts"
import type { Target } from "./Target.ts"

const WORD = "PROXY"

/** Fails at a word that no chance would find at once, and comes to another result with each letter of it. */
const target: Target = {
  name: "word",
  bytesMax: 40,
  dictionary: ["P", "R", "O", "X", "Y", "..."],
  check: (bytes) => {
    const text = Buffer.from(bytes).toString("latin1")
    const longest = WORD.split("").findLastIndex((_, i) => text.includes(WORD.slice(0, i + 1)))
    if (longest === WORD.length - 1) throw new Error(WORD)
    return String(longest)
  }
}

it("finds its way to a failure by what it comes to, and makes that as short as it can be", () => {
  const { failure, found } = fuzz(target, [], { seed: 1, seconds: 20 })
  assert.strictEqual(Buffer.from(failure!.bytes).toString("latin1"), WORD)
  assert.deepStrictEqual(failure!.error, new Error(WORD))
  assert.lengthOf(found, 0)
})

it("fails at once where the corpus does", () => {
  const { failure, tried } = fuzz(target, [Buffer.from("... PROXY ...")], { seed: 1, seconds: 20 })
  assert.strictEqual(tried, 1)
  assert.strictEqual(Buffer.from(failure!.bytes).toString("latin1"), WORD)
})

it("keeps of what it has found nothing that the corpus comes to already", () => {
  const harmless: Target = { ...target, check: (bytes) => (bytes.length > 4 ? "long" : "short") }
  const { failure, found, tried } = fuzz(harmless, [Buffer.from("P")], { seed: 1, seconds: 1 })
  assert.isUndefined(failure)
  assert.isAbove(tried, 1)
  assert.lengthOf(found, 1)
  assert.isAbove(found[0]!.length, 4)
})
