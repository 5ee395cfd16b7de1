/**
 * Tables for people: aligned columns under a header, within the width of a terminal where there is one.
 *
 * Whatever is in a cell, a line is one line: what a terminal would act on is escaped. Of a table that is too wide, cells
 * are cut, and end in `…`: the least important column first, none below `CELL_WIDTH_MIN` while another has more.
 */
import { CliOutput } from "effect/cli"
import { escapeInvisible } from "../config/Printable.ts"

export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => string
  /** Cut before columns with a lower one. Left out: cut last. */
  readonly expendable?: number
  /** Numbers stand at the right. */
  readonly right?: boolean
}

/** The header, then a line for each row. `width` of `undefined`: as wide as it is. */
export const table = <Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  width: number | undefined
): ReadonlyArray<string> => {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => shown(cell(row))))]
  const natural = columns.map((_, at) => cells.reduce((widest, line) => Math.max(widest, widthOf(line[at]!)), 0))
  const widths = width === undefined ? natural : fit(columns, natural, width)
  return cells.map((line) => {
    const padded = line.map((cell, at) => pad(cut(cell, widths[at]!), widths[at]!, columns[at]!.right ?? false))
    const text = padded.join(GAP).trimEnd()
    return width === undefined ? text : cut(text, width)
  })
}

/** One of a line whose columns' widths are known before its rows are. */
export interface Cell {
  readonly text: string
  readonly width: number
  readonly right?: boolean
}

/** A line of its own, of `width` at most. */
export const row = (cells: ReadonlyArray<Cell>, width: number): string => {
  const padded = cells.map(({ right = false, text, width }) => pad(cut(escapeInvisible(text), width), width, right))
  return cut(padded.join(GAP).trimEnd(), width)
}

/** An empty cell would leave one in doubt where a column is. */
const shown = (text: string): string => (text === "" ? "-" : escapeInvisible(text))

const GAP = "  "

/** Enough to see that something is there, and what it begins with. */
const CELL_WIDTH_MIN = 8

/** What each column may have of `width`. */
const fit = (
  columns: ReadonlyArray<Column<never>>,
  natural: ReadonlyArray<number>,
  width: number
): ReadonlyArray<number> => {
  const widths = [...natural]
  let excess = natural.reduce((sum, own) => sum + own, GAP.length * (columns.length - 1)) - width
  const importance = (at: number) => columns[at]!.expendable ?? 0
  for (const at of columns.map((_, at) => at).toSorted((a, b) => importance(b) - importance(a) || b - a)) {
    const given = Math.min(Math.max(excess, 0), Math.max(widths[at]! - CELL_WIDTH_MIN, 0))
    widths[at]! -= given
    excess -= given
  }
  return widths
}

/** At most `width` cells of a terminal. */
const cut = (text: string, width: number): string => {
  if (widthOf(text) <= width) return text
  let kept = ""
  let used = 0
  for (const { segment } of GRAPHEMES.segment(text)) {
    used += widthOf(segment)
    if (used >= width) break
    kept += segment
  }
  return width > 0 ? `${kept}…` : ""
}

/** In cells of a terminal. Nearly all text is ASCII, and a table may have 100,000 rows. */
const widthOf = (text: string): number => (ASCII.test(text) ? text.length : CliOutput.displayWidth(text))

const ASCII = /^[\x20-\x7e]*$/

const GRAPHEMES = new Intl.Segmenter(undefined, { granularity: "grapheme" })

const pad = (text: string, width: number, right: boolean): string => {
  const blank = " ".repeat(Math.max(width - widthOf(text), 0))
  return right ? blank + text : text + blank
}
