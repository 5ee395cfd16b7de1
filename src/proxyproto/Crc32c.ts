/**
 * CRC-32C (Castagnoli, RFC 3720 B.4), of which `node:zlib` has none: its `crc32` is another polynomial.
 *
 * A plain table of one byte at a time: the headers it checks are at most 16 KiB, and few senders add a checksum.
 */

/** The checksum's state after `bytes[start, end)`, from the state before; a checksum starts at `CRC32C_START`. */
export const crc32cUpdate = (state: number, bytes: Uint8Array, start: number, end: number): number => {
  let crc = state
  for (let i = start; i < end; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]!) & 255]!
  return crc
}

/** The checksum, an unsigned 32-bit number, of a state. */
export const crc32cFinish = (state: number): number => ~state >>> 0

export const CRC32C_START = -1

/** The polynomial with its bits reversed. */
const POLYNOMIAL = 0x82f63b78

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
  return crc
})
