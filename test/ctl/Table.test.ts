import { assert, describe, it } from "@effect/vitest"
import { CliOutput } from "effect/cli"
import * as fc from "fast-check"
import { type Column, table } from "../../src/ctl/Table.ts"

type Row = ReadonlyArray<string>

const columnsOf = (titles: ReadonlyArray<string>): ReadonlyArray<Column<Row>> =>
  titles.map((title, at) => ({ title, cell: (row) => row[at]!, expendable: at, right: at % 3 === 2 }))

const cell = fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" }), fc.string({ maxLength: 60 }))

/** A table of any columns and rows. */
const tables = fc.integer({ min: 1, max: 6 }).chain((count) =>
  fc.record({
    columns: fc.array(fc.stringMatching(/^[A-Z]{1,12}$/), { minLength: count, maxLength: count }).map(columnsOf),
    rows: fc.array(fc.array(cell, { minLength: count, maxLength: count }), { maxLength: 8 })
  })
)

describe("a table", () => {
  it("is never wider than the terminal, has a line for each row, and ends no line in a space", () => {
    fc.assert(
      fc.property(tables, fc.integer({ min: 1, max: 200 }), ({ columns, rows }, width) => {
        const lines = table(columns, rows, width)
        assert.strictEqual(lines.length, rows.length + 1)
        for (const line of lines) {
          assert.isAtMost(CliOutput.displayWidth(line), width)
          assert.notMatch(line, /\s$/)
        }
      })
    )
  })

  it("loses nothing where there is no terminal, or one that is wide enough", () => {
    fc.assert(
      fc.property(tables, ({ columns, rows }) => {
        const lines = table(columns, rows, undefined)
        const widest = Math.max(...lines.map(CliOutput.displayWidth))
        assert.deepStrictEqual(table(columns, rows, widest + 6 * columns.length), lines)
        for (const [at, row] of rows.entries()) {
          for (const text of row) {
            const safe = text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) =>
              [...new Array(c.length).keys()].map((i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")
            )
            assert.include(lines[at + 1], safe.trim() === "" ? "" : safe.trim())
          }
        }
      })
    )
  })

  it("puts a column's cells under its title", () => {
    const columns: ReadonlyArray<Column<Row>> = [
      { title: "NAME", cell: (row) => row[0]! },
      { title: "BYTES", cell: (row) => row[1]!, right: true },
      { title: "NOTE", cell: (row) => row[2]! }
    ]
    const rows = [
      ["a", "1", "first"],
      ["日本", "1000000", ""]
    ]
    assert.deepStrictEqual(table(columns, rows, undefined), [
      "NAME    BYTES  NOTE",
      "a           1  first",
      "日本  1000000  -"
    ])
  })

  it("cuts the least important columns first, and all of them before it gives up", () => {
    const columns: ReadonlyArray<Column<Row>> = [
      { title: "HOSTNAME", cell: (row) => row[0]! },
      { title: "BACKEND", cell: (row) => row[1]!, expendable: 1 },
      { title: "OPTIONS", cell: (row) => row[2]!, expendable: 2 }
    ]
    const rows = [["a".repeat(20), "b".repeat(20), "c".repeat(20)]]
    const second = (width: number) => table(columns, rows, width)[1]
    assert.strictEqual(second(64), `${"a".repeat(20)}  ${"b".repeat(20)}  ${"c".repeat(20)}`)
    assert.strictEqual(second(60), `${"a".repeat(20)}  ${"b".repeat(20)}  ${"c".repeat(15)}…`)
    assert.strictEqual(second(50), `${"a".repeat(20)}  ${"b".repeat(17)}…  ${"c".repeat(7)}…`)
    assert.strictEqual(second(30), `${"a".repeat(9)}…  ${"b".repeat(7)}…  ${"c".repeat(7)}…`)
    assert.strictEqual(second(5), "aaaa…")
  })

  it("lets no client write on the terminal", () => {
    const columns: ReadonlyArray<Column<Row>> = [{ title: "HOSTNAME", cell: (row) => row[0]! }]
    const lines = table(columns, [["a\u001b[2Jb\r\n\u202ec"]], undefined)
    assert.deepStrictEqual(lines, ["HOSTNAME", "a\\u001b[2Jb\\u000d\\u000a\\u202ec"])
  })
})
