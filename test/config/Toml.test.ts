import { assert, describe, it } from "@effect/vitest"
import { errorOf } from "./Parsing.ts"

describe("Toml", () => {
  it("reports a syntax error with its line, column and text", () => {
    assert.strictEqual(
      errorOf('[database]\npath = "a.db"\n[log]\nlevel = "info\naccess = true\n').message,
      [
        "mc-proxy.toml: line 4, column 14: control characters are not allowed in strings",
        '    4 | level = "info',
        "                     ^"
      ].join("\n")
    )
  })

  it("shows no user name and password of a URL in the line that is wrong", () => {
    const { message } = errorOf('[tracing]\notlp_endpoint = "http://ada:secret@127.0.0.1:4318\n')
    assert.notInclude(message, "secret")
    assert.include(message, 'otlp_endpoint = "http://**********@127.0.0.1:4318')
  })

  it("reports a key that is set twice", () => {
    assert.strictEqual(
      errorOf('[log]\nlevel = "info"\nlevel = "warn"\n').message,
      [
        "mc-proxy.toml: line 3, column 1: trying to redefine an already defined table or value",
        '    3 | level = "warn"',
        "        ^"
      ].join("\n")
    )
  })

  it("shows the part of a long line that is wrong, without its control characters", () => {
    const line = `a = [${"1, ".repeat(1000)}\u001b${", 1".repeat(1000)}]`
    const [headline, shown, caret] = errorOf(line).message.split("\n")
    assert.match(headline!, /^mc-proxy\.toml: line 1, column 3006: /)
    assert.isAtMost(shown!.length, 120)
    assert.notInclude(shown!, "\u001b")
    assert.strictEqual(shown![caret!.indexOf("^")], " ")
    assert.strictEqual(shown!.slice(caret!.indexOf("^") - 3), `1,  ${", 1".repeat(1000)}`.slice(0, 53))
  })

  it("refuses arrays in arrays without end, instead of running out of stack", () => {
    assert.match(errorOf(`a = ${"[".repeat(100_000)}`).message, /excessively nested/)
  })

  it("takes a byte order mark", () => {
    assert.strictEqual(errorOf("\ufeffx = 1").problems[1]?.path, "database.path")
  })

  it("is not confused by names that objects inherit", () => {
    const paths = errorOf("constructor = 1\n__proto__ = 2\n[log]\ntoString = 3\n").problems.map(({ path }) => path)
    assert.includeMembers(paths, ["constructor", "__proto__", "log.toString"])
  })
})
