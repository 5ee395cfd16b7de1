/** Bytes as simulated peers make and compare them. */

export const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Uint8Array.from(Buffer.concat(parts))

/** `length` bytes that differ from place to place, and from those of another `first`. */
export const pattern = (length: number, first: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (first * 31 + i * 7 + (i >> 8)) & 255)

/** Whether `bytes` are the first of `whole`. */
export const startsWith = (whole: Uint8Array, bytes: Uint8Array): boolean =>
  bytes.length <= whole.length && Buffer.compare(whole.subarray(0, bytes.length), bytes) === 0
