/** Bodies, as simulated clients and backends send and read them: piece by piece, in simulated time. */
import type { Readable, Writable } from "node:stream"
import type { BodyPlan } from "./WebPlan.ts"

/** Calls back after so many simulated milliseconds, unless the connection is over by then. */
export type After = (ms: number, later: () => void) => void

/** Writes the bytes up to `most` and then calls `over`, unless the stream is gone before. */
export const writeBody = (
  writable: Writable,
  bytes: Uint8Array,
  { pauseMs, pieceBytes }: BodyPlan,
  after: After,
  over: () => void
): void => {
  const writeNext = (at: number): void => {
    if (writable.destroyed || writable.writableEnded) return
    if (at >= bytes.length) return over()
    const goOn = (): void => {
      if (pauseMs === 0) writeNext(at + pieceBytes)
      else after(pauseMs, () => writeNext(at + pieceBytes))
    }
    if (writable.write(bytes.subarray(at, at + pieceBytes))) goOn()
    else writable.once("drain", goOn)
  }
  writeNext(0)
}

/** Collects what comes, some of it and then a pause. */
export const readBody = (readable: Readable, into: Array<Uint8Array>, pauseMs: number, after: After): void => {
  let sincePause = 0
  readable.on("data", (bytes: Uint8Array) => {
    into.push(bytes)
    sincePause += bytes.length
    if (pauseMs === 0 || sincePause < PAUSE_BYTES_MIN) return
    sincePause = 0
    readable.pause()
    after(pauseMs, () => readable.resume())
  })
}

/** So that the largest body is read in less time than a proxy waits for a byte. */
const PAUSE_BYTES_MIN = 1000
