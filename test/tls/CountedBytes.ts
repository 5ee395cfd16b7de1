/** Bytes that count how often a parser looks at them: time that a test can assert without a clock. */

export interface CountedBytes {
  readonly bytes: Uint8Array
  /** Property reads so far: one for each byte, and for each `length`. */
  readonly reads: () => number
}

export const countReads = (bytes: Uint8Array): CountedBytes => {
  let reads = 0
  const counted = new Proxy(bytes, {
    get: (target, key) => {
      reads++
      const value: unknown = Reflect.get(target, key, target)
      return value
    }
  })
  return { bytes: counted, reads: () => reads }
}
