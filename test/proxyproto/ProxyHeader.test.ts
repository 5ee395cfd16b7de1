import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { readProxyHeader } from "../../src/proxyproto/ProxyHeader.ts"
import { writeProxyHeader } from "../../src/proxyproto/ProxyHeaderV2.ts"
import { readWithinBounds } from "../fuzz/GuardedBytes.ts"
import { concat } from "../tls/TlsBuilder.ts"
import { address, readText, tlv, v2, verdictAt, withChecksum } from "./ProxyHeaders.ts"

const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "latin1"))

const SAMPLES: ReadonlyArray<Uint8Array> = [
  ascii("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"),
  ascii("PROXY TCP6 2001:db8::1 ::ffff:198.51.100.2 1 65535\r\n"),
  ascii("PROXY UNKNOWN\r\n"),
  ascii("PROXY UNKNOWN ffff::1 what\rever\n\r\n"),
  v2(0x20, 0x00),
  v2(0x20, 0xff, Uint8Array.of(1, 2, 3)),
  v2(0x21, 0x00, tlv(4, new Uint8Array(5))),
  v2(0x21, 0x31, new Uint8Array(216)),
  withChecksum(v2(0x21, 0x11, new Uint8Array(12), tlv(3, new Uint8Array(4)), tlv(2, ascii("a.example"))), 31),
  writeProxyHeader({
    client: address("2001:db8::1", 50000),
    destination: address("192.0.2.7", 443),
    authority: "client.example.net",
    uniqueId: "0123456789abcdef"
  })
]

describe("readProxyHeader", () => {
  for (const sample of SAMPLES) {
    it(`reads ${JSON.stringify(Buffer.from(sample.subarray(0, 24)).toString("latin1"))} whole, and no prefix of it`, () => {
      const read = readProxyHeader(sample)
      assert.strictEqual(verdictAt(sample), sample.length)
      assert.strictEqual(read._tag === "Header" ? read.length : read._tag, sample.length)
      assert.deepStrictEqual(readProxyHeader(concat(sample, ascii("\x16\x03\x01"))), read)
    })
  }

  it("gives one verdict for mutated and random bytes, whatever the split and whatever stands beside them", () => {
    const seen = new Set<string>()
    const anyMutant = fc
      .tuple(
        fc.constantFrom(...SAMPLES),
        fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.uint8Array({ maxLength: 3 })), { maxLength: 3 })
      )
      .map(([sample, edits]) =>
        edits.reduce((bytes, [position, removed, inserted]) => {
          const at = position % (bytes.length + 1)
          return concat(bytes.subarray(0, at), inserted, bytes.subarray(at + removed))
        }, sample)
      )
    const anyBytes = fc.oneof({ weight: 9, arbitrary: anyMutant }, { weight: 1, arbitrary: fc.uint8Array() })
    const property = fc.property(anyBytes, (bytes) => {
      const whole = readWithinBounds(bytes, readProxyHeader)
      const at = readWithinBounds(bytes, verdictAt)
      seen.add(whole._tag)
      if (whole._tag === "NeedMore") return assert.strictEqual(at, bytes.length + 1)
      if (whole._tag === "Header") assert.strictEqual(at, whole.length)
      for (let shown = at; shown <= bytes.length; shown++) {
        assert.deepStrictEqual(readProxyHeader(bytes.subarray(0, shown)), whole)
      }
    })
    fc.assert(property, { numRuns: 1500 })
    assert.sameMembers([...seen], ["NeedMore", "Invalid", "Header"])
  })

  it("refuses what is no header at its first byte", () => {
    const NO_HEADER = "starts with no PROXY protocol header"
    for (const text of ["\x16\x03\x01", "GET / HTTP/1.1\r\n", "proxy TCP4 ", "\n\r\n", "\0"]) {
      assert.strictEqual(readText(ascii(text)), NO_HEADER)
      assert.strictEqual(verdictAt(ascii(text)), 1)
    }
  })

  it("waits for a first byte", () => {
    assert.strictEqual(readText(new Uint8Array(0)), "NeedMore")
  })
})
