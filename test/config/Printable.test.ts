import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { SHOWN_LENGTH_MAX, showKey, showPath, showText, showValue } from "../../src/config/Printable.ts"

describe("Printable", () => {
  it("quotes text as TOML would", () => {
    assert.strictEqual(showText('say "hi"'), '"say \\"hi\\""')
  })

  it("escapes what is invisible, moves the cursor or turns the writing direction", () => {
    assert.strictEqual(
      showText("\u001b[2J\r\n\u007f\u0085\u200b\u202e\u2028\ufeff\u{e0041}"),
      '"\\u001b[2J\\r\\n\\u007f\\u0085\\u200b\\u202e\\u2028\\ufeff\\udb40\\udc41"'
    )
  })

  it("leaves letters of every language", () => {
    assert.strictEqual(showText("größe 例え 🦊"), '"größe 例え 🦊"')
  })

  it("hides the user name and password of a URL, even where the text is cut", () => {
    const long = "p".repeat(200)
    assert.strictEqual(showText("see https://me:secret@host/x"), '"see https://…@host/x"')
    assert.strictEqual(showText(`see https://me:${long}@host/x`), '"see https://…"')
    assert.strictEqual(showText("HTTP://a:b@c:d@host/@x"), '"HTTP://…@host/@x"')
    assert.strictEqual(showText("mail me@host"), '"mail me@host"')
  })

  it("cuts what is longer than the limit, and only that", () => {
    const fits = "x".repeat(SHOWN_LENGTH_MAX)
    assert.strictEqual(showText(fits), `"${fits}"`)
    assert.strictEqual(showText(`${fits}y`), `"${fits}…"`)
  })

  it("shows scalars as TOML writes them, and of the rest the kind", () => {
    assert.strictEqual(showValue(65536n), "65536")
    assert.strictEqual(showValue(65536), "65536.0")
    assert.strictEqual(showValue(1.5), "1.5")
    assert.strictEqual(showValue(-Infinity), "-inf")
    assert.strictEqual(showValue(NaN), "nan")
    assert.strictEqual(showValue(true), "true")
    assert.strictEqual(showValue([1n]), "an array")
    assert.strictEqual(showValue({ a: 1n }), "a table")
  })

  it("writes a path as TOML names the place", () => {
    assert.strictEqual(showPath(["listeners", 0, "routes", 12, "back end"]), 'listeners[0].routes[12]."back end"')
    assert.strictEqual(showPath([""]), '""')
  })

  it("shows any text on one line of bounded length that holds no control character", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.nat({ max: 0x10ffff }).map((code) => String.fromCodePoint(code)), maxLength: 300 }),
        (text) => {
          for (const shown of [showText(text), showKey(text), showValue(text)]) {
            assert.match(shown, /^[^\p{C}\p{Zl}\p{Zp}]*$/u)
            assert.isAtMost(shown.length, 12 * SHOWN_LENGTH_MAX + 3)
          }
        }
      )
    )
  })
})
