/**
 * Shows a parser bytes in a way that tells when it reads past their end.
 *
 * Past the end of an array JavaScript reads `undefined`, which parsers take for a number as easily as for a mistake, and
 * past the end of a view its buffer goes on with what somebody else sent. So the parser gets the bytes in the middle of
 * buffers with other bytes around them, by which its answer must not change; and behind a guard that refuses an index
 * outside, and a view beyond.
 */
import { deepStrictEqual } from "node:assert/strict"

/** What `read` makes of the bytes. It gets them several times, and must begin afresh each time. */
export const readWithinBounds = <A>(bytes: Uint8Array, read: (bytes: Uint8Array) => A): A => {
  const result = read(guarded(bytes))
  for (const around of AROUND) deepStrictEqual(read(amid(bytes, around)), result, `beside bytes of ${around}`)
  return result
}

/** A letter, which a name or a number would go on with, and what no text has. */
const AROUND = [0x61, 0xff]

/** A copy of the bytes, between 64 others on either side. */
const amid = (bytes: Uint8Array, around: number): Uint8Array => {
  const buffer = new Uint8Array(bytes.length + 128).fill(around)
  buffer.set(bytes, 64)
  return buffer.subarray(64, 64 + bytes.length)
}

const guarded = (bytes: Uint8Array): Uint8Array =>
  new Proxy(bytes, {
    get: (target, key) => {
      if (key === "subarray") return (start: number, end: number) => guardedView(target, start, end)
      const value: unknown = Reflect.get(target, key, target)
      if (value === undefined && /^-?[0-9]/.test(String(key))) {
        throw new RangeError(`byte ${String(key)} was read of ${target.length}`)
      }
      return value
    }
  })

const guardedView = (bytes: Uint8Array, start: number, end: number): Uint8Array => {
  if (start < 0 || start > end || end > bytes.length) {
    throw new RangeError(`bytes ${start} to ${end} were taken of ${bytes.length}`)
  }
  return guarded(bytes.subarray(start, end))
}
