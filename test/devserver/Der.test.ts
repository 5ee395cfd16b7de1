import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Der from "../../src/devserver/Der.ts"

const hex = (der: Uint8Array): string => Buffer.from(der).toString("hex")

/** A definite length, and where the content starts. */
const readLength = (der: Uint8Array): { readonly length: number; readonly start: number } => {
  const first = der[1]!
  if (first < 0x80) return { length: first, start: 2 }
  const count = first & 0x7f
  let length = 0
  for (const byte of der.subarray(2, 2 + count)) length = length * 256 + byte
  return { length, start: 2 + count }
}

describe("Der", () => {
  it("writes a number with no zero too many, and one where a top bit would mean a negative number", () => {
    const written = (...bytes: ReadonlyArray<number>) => hex(Der.integer(Uint8Array.from(bytes)))
    assert.strictEqual(written(), "020100")
    assert.strictEqual(written(0, 0), "020100")
    assert.strictEqual(written(0x7f), "02017f")
    assert.strictEqual(written(0x80), "02020080")
    assert.strictEqual(written(0, 0, 0x80, 0), "0203008000")
    assert.strictEqual(written(0, 1, 0), "02020100")
  })

  it("writes object identifiers as the RFCs show them", () => {
    assert.strictEqual(hex(Der.oid("1.2.840.10045.4.3.2")), "06082a8648ce3d040302")
    assert.strictEqual(hex(Der.oid("2.5.29.17")), "0603551d11")
    assert.strictEqual(hex(Der.oid("1.3.6.1.4.1.16384")), "06082b06010401818000")
  })

  it("writes a year from 2050 with four digits and one before with two", () => {
    assert.strictEqual(hex(Der.time(new Date("2049-12-31T23:59:59.999Z"))), `170d${hexOf("491231235959Z")}`)
    assert.strictEqual(hex(Der.time(new Date("2050-01-01T00:00:00.000Z"))), `180f${hexOf("20500101000000Z")}`)
    assert.strictEqual(hex(Der.time(new Date("1950-01-01T00:00:00.000Z"))), `170d${hexOf("500101000000Z")}`)
    assert.strictEqual(hex(Der.time(new Date("1949-12-31T00:00:00.000Z"))), `180f${hexOf("19491231000000Z")}`)
  })

  it("tags each kind of value with its own number", () => {
    const byte = Uint8Array.of(0xab)
    assert.strictEqual(hex(Der.boolean(true)), "0101ff")
    assert.strictEqual(hex(Der.boolean(false)), "010100")
    assert.strictEqual(hex(Der.bitString(byte)), "030200ab")
    assert.strictEqual(hex(Der.bitString(Uint8Array.of(0x80), 7)), "03020780")
    assert.strictEqual(hex(Der.octetString(byte)), "0401ab")
    assert.strictEqual(hex(Der.utf8String("é")), "0c02c3a9")
    assert.strictEqual(hex(Der.sequence(Der.boolean(true), Der.boolean(false))), "30060101ff010100")
    assert.strictEqual(hex(Der.set(Der.octetString(byte))), "31030401ab")
    assert.strictEqual(hex(Der.explicit(3, Der.octetString(byte))), "a3030401ab")
    assert.strictEqual(hex(Der.implicit(2, byte)), "8201ab")
  })

  it("writes the shortest length there is for what follows", () => {
    assert.strictEqual(hex(Der.octetString(new Uint8Array(127))).slice(0, 4), "047f")
    assert.strictEqual(hex(Der.octetString(new Uint8Array(128))).slice(0, 6), "048180")
    assert.strictEqual(hex(Der.octetString(new Uint8Array(255))).slice(0, 6), "0481ff")
    assert.strictEqual(hex(Der.octetString(new Uint8Array(256))).slice(0, 8), "04820100")
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 70_000 }), (size) => {
        const der = Der.octetString(new Uint8Array(size))
        const { length, start } = readLength(der)
        assert.strictEqual(length, size)
        assert.strictEqual(der.length, start + size)
      })
    )
  })
})

const hexOf = (text: string): string => Buffer.from(text, "latin1").toString("hex")
