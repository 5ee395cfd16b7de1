import { assert, describe, it } from "@effect/vitest"
import { ConfigError, formatProblems, PROBLEMS_SHOWN_MAX } from "../../src/config/ConfigError.ts"

const problems = (count: number) => Array.from({ length: count }, (_, i) => ({ path: `p${i}`, message: "is wrong" }))

describe("ConfigError", () => {
  it("tells one problem in one line", () => {
    assert.strictEqual(new ConfigError({ file: "a.toml", problems: problems(1) }).message, "a.toml: p0: is wrong")
    assert.strictEqual(formatProblems("a.toml", [{ path: "", message: "no such file" }]), "a.toml: no such file")
  })

  it("tells several problems in a line each", () => {
    assert.strictEqual(formatProblems("a.toml", problems(2)), "a.toml: 2 problems\n  p0: is wrong\n  p1: is wrong")
  })

  it("only counts the problems beyond the first hundred", () => {
    assert.lengthOf(formatProblems("a.toml", problems(PROBLEMS_SHOWN_MAX)).split("\n"), PROBLEMS_SHOWN_MAX + 1)
    const lines = formatProblems("a.toml", problems(PROBLEMS_SHOWN_MAX + 7)).split("\n")
    assert.strictEqual(lines[0], `a.toml: ${PROBLEMS_SHOWN_MAX + 7} problems`)
    assert.lengthOf(lines, PROBLEMS_SHOWN_MAX + 2)
    assert.strictEqual(lines.at(-1), "  and 7 more")
  })
})
