import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { BATCH_LENGTH, BUFFER_LENGTH_MAX, LineBuffer } from "../../src/observe/LineBuffer.ts"

const notice = (lost: number) => `lost ${lost}`
/** A line that takes 1 KiB with its newline. */
const kilo = (name: number) => `${name}`.padEnd(1023, ".")
const linesMax = BUFFER_LENGTH_MAX / 1024

const full = () => {
  const buffer = new LineBuffer(notice)
  for (let i = 0; i < linesMax; i++) assert.isTrue(buffer.push(kilo(i)))
  return buffer
}

/** Every line that is left, as the writer would write them. */
const drain = (buffer: LineBuffer): Array<string> => {
  let text = ""
  for (let batch = buffer.take(); batch !== undefined; batch = buffer.take()) {
    text += batch
    buffer.release()
  }
  return text.split("\n").slice(0, -1)
}

it("holds lines up to its bound, and drops and counts the next", () => {
  const buffer = full()
  assert.isFalse(buffer.push(""))
  assert.isFalse(buffer.push(""))
  assert.strictEqual(buffer.dropped, 2)
})

it("counts what is being written as held", () => {
  const buffer = full()
  assert.isDefined(buffer.take())
  assert.isFalse(buffer.push(""))
})

it("puts one notice where lines were lost, before those that came later", () => {
  const buffer = full()
  for (let i = 0; i < 7; i++) buffer.push("dropped")
  buffer.take()
  buffer.release()
  assert.isTrue(buffer.push("later"))
  const lines = drain(buffer)
  assert.deepStrictEqual(lines.slice(-3), [kilo(linesMax - 1), "lost 7", "later"])
  assert.strictEqual(buffer.dropped, 7)
})

it("loses every line from the first lost one on, even one for which there would be room", () => {
  const buffer = new LineBuffer(notice)
  buffer.push("first")
  assert.isFalse(buffer.push("x".repeat(BUFFER_LENGTH_MAX)))
  assert.isFalse(buffer.push("short"))
  assert.deepStrictEqual(drain(buffer), ["first", "lost 2"])
  assert.isTrue(buffer.push("short"))
})

it("goes on after a line that is longer than all of it, though it held none before", () => {
  const buffer = new LineBuffer(notice)
  assert.isFalse(buffer.push("x".repeat(BUFFER_LENGTH_MAX)))
  assert.isTrue(buffer.push("short"))
  assert.deepStrictEqual(drain(buffer), ["lost 1", "short"])
  assert.strictEqual(buffer.dropped, 1)
})

it("gives batches of whole lines, none longer than its length by more than the last line", () => {
  const buffer = full()
  const seen: Array<string> = []
  for (let batch = buffer.take(); batch !== undefined; batch = buffer.take()) {
    assert.isTrue(batch.endsWith("\n"))
    assert.isBelow(batch.length, BATCH_LENGTH + 1024)
    seen.push(...batch.split("\n").slice(0, -1))
    buffer.release()
  }
  assert.deepStrictEqual(
    seen,
    Array.from({ length: linesMax }, (_, i) => kilo(i))
  )
})

it("drops what it holds, queued and taken, when the end has come, and what comes after", () => {
  const buffer = full()
  buffer.take()
  buffer.end()
  assert.strictEqual(buffer.dropped, linesMax)
  assert.isFalse(buffer.push("late"))
  assert.strictEqual(buffer.dropped, linesMax + 1)
  assert.isUndefined(buffer.take())
})

it("counts no notice as a line that was lost", () => {
  const buffer = full()
  buffer.push("dropped")
  buffer.take()
  buffer.release()
  const written = BATCH_LENGTH / 1024
  buffer.end()
  assert.strictEqual(buffer.dropped, linesMax - written + 1)
})

it("writes each line once and in order, or counts it, whatever the pace of the reader", () => {
  const step = fc.oneof(fc.record({ push: fc.integer({ min: 1, max: 400_000 }) }), fc.constantFrom("take", "release"))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let held = 0
      const buffer = new LineBuffer((lost) => {
        held += notice(lost).length + 1
        return notice(lost)
      })
      let text = ""
      let taken: string | undefined
      let pushed = 0
      for (const step of steps) {
        if (step === "take") {
          taken ??= buffer.take()
        } else if (step === "release") {
          if (taken === undefined) continue
          text += taken
          held -= taken.length
          taken = undefined
          buffer.release()
        } else if (buffer.push(`${pushed++} `.padEnd(step.push, "."))) {
          held += Math.max(step.push, `${pushed - 1} `.length) + 1
          assert.isAtMost(held, BUFFER_LENGTH_MAX)
        }
      }
      if (taken !== undefined) buffer.release()
      const lines = [...`${text}${taken ?? ""}`.split("\n").slice(0, -1), ...drain(buffer)]
      let next = 0
      for (const line of lines) {
        if (line.startsWith("lost ")) next += Number(line.slice(5))
        else assert.strictEqual(Number(line.split(" ")[0]), next++)
      }
      const said = lines
        .filter((line) => line.startsWith("lost "))
        .reduce((sum, line) => sum + Number(line.slice(5)), 0)
      assert.strictEqual(lines.filter((line) => !line.startsWith("lost ")).length + buffer.dropped, pushed)
      assert.strictEqual(said, buffer.dropped)
    }),
    { numRuns: 200 }
  )
})
