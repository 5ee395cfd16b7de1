/**
 * Writes the few ASN.1 types that an X.509 certificate is made of, in DER (X.690).
 *
 * It only writes: what OpenSSL reads back is the check. Values are the caller's own, so none is refused.
 */

/** Encoded bytes of one value, tag and length included. */
export type Der = Uint8Array

export const sequence = (...values: ReadonlyArray<Der>): Der => encode(0x30, ...values)

export const set = (...values: ReadonlyArray<Der>): Der => encode(0x31, ...values)

export const boolean = (value: boolean): Der => encode(0x01, Uint8Array.of(value ? 0xff : 0x00))

/** A number of 0 or more from its big-endian bytes, as short as it goes, and with a zero ahead of a top bit (8.3). */
export const integer = (bytes: Uint8Array): Der => {
  const first = bytes.findIndex((byte) => byte !== 0)
  if (first < 0) return encode(0x02, Uint8Array.of(0))
  const sign = bytes[first]! >= 0x80 ? [0] : []
  return encode(0x02, Uint8Array.from(sign), bytes.subarray(first))
}

/** `unused`: how many of the last byte's low bits say nothing. */
export const bitString = (bytes: Uint8Array, unused = 0): Der => encode(0x03, Uint8Array.of(unused), bytes)

export const octetString = (bytes: Uint8Array): Der => encode(0x04, bytes)

/** An object identifier from its dotted form. */
export const oid = (dotted: string): Der => {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number)
  return encode(0x06, Uint8Array.from([first * 40 + second, ...rest].flatMap(base128)))
}

export const utf8String = (text: string): Der => encode(0x0c, Buffer.from(text, "utf8"))

/** To the second. UTCTime has two digits for the year and ends with 2049 (RFC 5280 4.1.2.5). */
export const time = (date: Date): Der => {
  const digits = `${date.toISOString().slice(0, 19).replace(/[-:T]/g, "")}Z`
  const short = date.getUTCFullYear() >= 1950 && date.getUTCFullYear() < 2050
  return short ? encode(0x17, Buffer.from(digits.slice(2), "latin1")) : encode(0x18, Buffer.from(digits, "latin1"))
}

/** `[number] EXPLICIT`: around a value that keeps its own tag. */
export const explicit = (number: number, value: Der): Der => encode(0xa0 | number, value)

/** `[number] IMPLICIT`: in place of the tag of a value that is not made of others. */
export const implicit = (number: number, content: Uint8Array): Der => encode(0x80 | number, content)

const encode = (tag: number, ...content: ReadonlyArray<Uint8Array>): Der => {
  const length = content.reduce((sum, { byteLength }) => sum + byteLength, 0)
  return Buffer.concat([Uint8Array.of(tag, ...lengthBytes(length)), ...content])
}

/** One byte below 128; else how many bytes follow, and those (8.1.3). */
const lengthBytes = (length: number): ReadonlyArray<number> => {
  if (length < 0x80) return [length]
  const bytes = bigEndian(length, 256)
  return [0x80 | bytes.length, ...bytes]
}

/** Seven bits a byte, the top bit on all but the last (8.19.2). */
const base128 = (value: number): ReadonlyArray<number> =>
  bigEndian(value, 128).map((digit, i, digits) => (i < digits.length - 1 ? digit | 0x80 : digit))

const bigEndian = (value: number, base: number): ReadonlyArray<number> =>
  value < base ? [value] : [...bigEndian(Math.floor(value / base), base), value % base]
