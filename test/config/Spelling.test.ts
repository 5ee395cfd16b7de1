import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { nearest } from "../../src/config/Spelling.ts"

/** The distance by its definition, in exponential time. */
const naive = (a: string, b: string): number => {
  if (a === "" || b === "") return a.length + b.length
  const costs = [
    naive(a.slice(1), b) + 1,
    naive(a, b.slice(1)) + 1,
    naive(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1)
  ]
  if (a.length > 1 && b.length > 1 && a[0] === b[1] && a[1] === b[0]) costs.push(naive(a.slice(2), b.slice(2)) + 1)
  return Math.min(...costs)
}

describe("Spelling", () => {
  it("counts a swap of two neighbours as one error", () => {
    assert.strictEqual(
      nearest("adrd", ["addr"], () => 1),
      "addr"
    )
  })

  it("prefers the first of equally near names", () => {
    assert.strictEqual(
      nearest("c", ["a", "b"], () => 1),
      "a"
    )
  })

  it("suggests nothing that is further than allowed", () => {
    assert.strictEqual(
      nearest("level", ["lvl"], () => 2),
      "lvl"
    )
    assert.strictEqual(
      nearest("level", ["lvl"], () => 1),
      undefined
    )
  })

  it("finds the nearest name that a search by definition finds", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 5 })
    const limits = { a: fc.nat({ max: 4 }), b: fc.nat({ max: 4 }), c: fc.nat({ max: 4 }), "": fc.nat({ max: 4 }) }
    fc.assert(
      fc.property(word, fc.array(word, { maxLength: 4 }), fc.record(limits), (input, candidates, limits) => {
        const limitOf = (candidate: string) => limits[(candidate[0] ?? "") as keyof typeof limits]
        const allowed = candidates
          .map((candidate) => ({ candidate, distance: naive(input, candidate) }))
          .filter(({ candidate, distance }) => distance <= limitOf(candidate))
        const least = Math.min(...allowed.map(({ distance }) => distance))
        const expected = allowed.find(({ distance }) => distance === least)?.candidate
        assert.strictEqual(nearest(input, candidates, limitOf), expected)
      })
    )
  })
})
