/**
 * HTTP/2 frames (RFC 9113 6) by hand, so that a test can send what no library would.
 *
 * Header blocks are literals that touch no table (RFC 7541 6.2.2): fields go out exactly as they are given.
 */
import { Buffer } from "node:buffer"

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9
} as const
export const FLAG = { none: 0, ack: 1, endStream: 1, endHeaders: 4 } as const

const HEADER_BYTES = 9

export const frame = (type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer => {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

/** What a client begins with: the preface, and SETTINGS of no change. */
export const PREFACE = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(TYPE.settings, FLAG.none, 0)
])

/** A request's HEADERS: name, value, name, value, … in Latin-1. */
export const headers = (stream: number, fields: ReadonlyArray<string>, flags: number = FLAG.endStream): Buffer =>
  frame(TYPE.headers, flags | FLAG.endHeaders, stream, fieldBlock(fields))

export const resetStream = (stream: number, code = 8): Buffer => frame(TYPE.reset, FLAG.none, stream, uint32(code))

export const fieldBlock = (fields: ReadonlyArray<string>): Buffer => {
  const parts: Array<Uint8Array> = []
  for (let i = 0; i < fields.length; i += 2) parts.push(Uint8Array.of(0), text(fields[i]!), text(fields[i + 1]!))
  return Buffer.concat(parts)
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** The whole frames at the start of `bytes`. */
export const framesOf = (bytes: Buffer): ReadonlyArray<Frame> => {
  const frames: Array<Frame> = []
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const end = at + HEADER_BYTES + bytes.readUIntBE(at, 3)
    if (end > bytes.length) break
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      stream: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + HEADER_BYTES, end)
    })
    at = end
  }
  return frames
}

/** RFC 7541 5.2, without Huffman's code. */
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value, "latin1")
  return Buffer.concat([integer(bytes.length), bytes])
}

/** RFC 7541 5.1, with a prefix of seven bits. */
const integer = (value: number): Uint8Array => {
  if (value < 127) return Uint8Array.of(value)
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Uint8Array.from([...bytes, rest])
}

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
