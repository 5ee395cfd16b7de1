import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ipv4FromWord, ipv6FromWords } from "../../src/net/IpAddress.ts"
import { readProxyHeader } from "../../src/proxyproto/ProxyHeader.ts"
import { PROXY_V2_BYTES_MAX, UNIQUE_ID_BYTES_MAX, writeProxyHeader } from "../../src/proxyproto/ProxyHeaderV2.ts"
import type { ProxyRead } from "../../src/proxyproto/ProxyRead.ts"
import { countReads } from "../tls/CountedBytes.ts"
import { concat, uint16 } from "../tls/TlsBuilder.ts"
import { address, readText, SIGNATURE, tlv, tlvsOf, v2, verdictAt, withChecksum } from "./ProxyHeaders.ts"

const LOCAL = 0x20
const PROXY = 0x21
const TCP4 = 0x11
const TCP6 = 0x21

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"))

const IPV4 = hex("c0000201 c6336402 dc04 01bb")
const IPV6 = hex("20010db8000000000000000000000001 20010db8000000000000000000000002 dc04 01bb")
const BOTH_IPV4 = "192.0.2.1:56324 -> 198.51.100.2:443"
const BOTH_IPV6 = "[2001:db8::1]:56324 -> [2001:db8::2]:443"
const NOOP = 0x04
const CRC32C = 0x03

const BAD_SIGNATURE = "has a wrong v2 signature"
const BAD_COMMAND = "has a version other than 2, or a command other than LOCAL and PROXY"
const BAD_FAMILY = "has an unknown address family or protocol"
const TOO_LONG = "is longer than 16384 bytes"
const SHORT_ADDRESSES = "is too short for the addresses of its family"
const BAD_TLVS = "has TLVs that do not end where it does"
const BAD_CHECKSUM = "has a wrong, malformed or repeated CRC32C"

const anyIp = fc.oneof(
  fc.integer().map(ipv4FromWord),
  fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.integer()).map((words) => ipv6FromWords(...words))
)
const anyEnd = fc.record({ ip: anyIp, port: fc.nat(65535) })

describe("a v2 header", () => {
  it("of TCP over IPv4 gives both ends", () => {
    const bytes = hex("0d0a0d0a000d0a515549540a 21 11 000c c0000201 c6336402 dc04 01bb")
    assert.strictEqual(readText(bytes), `28 ${BOTH_IPV4}`)
  })

  it("of TCP over IPv6 gives both ends", () => {
    const bytes = concat(hex("0d0a0d0a000d0a515549540a 21 21 0024"), IPV6)
    assert.strictEqual(readText(bytes), `52 ${BOTH_IPV6}`)
  })

  it("of TCP over IPv6 gives an IPv4-mapped address as its IPv4 address", () => {
    const mapped = hex("00000000000000000000ffffc0000201 20010db8000000000000000000000002 0001 0002")
    assert.strictEqual(readText(v2(PROXY, TCP6, mapped)), "52 192.0.2.1:1 -> [2001:db8::2]:2")
  })

  it("that names no TCP address leaves the peer's own to count, and is no probe", () => {
    const name = tlv(2, Buffer.from("client.example.net"))
    assert.strictEqual(readText(v2(PROXY, 0x00)), "16 none -> none")
    assert.strictEqual(readText(v2(PROXY, 0x00, name)), "37 none -> none")
    assert.strictEqual(readText(v2(PROXY, 0x01, name)), "37 none -> none")
    assert.strictEqual(readText(v2(PROXY, 0x10, IPV4, name)), "49 none -> none")
    assert.strictEqual(readText(v2(PROXY, 0x12, IPV4, name)), "49 none -> none")
    assert.strictEqual(readText(v2(PROXY, 0x22, IPV6, name)), "73 none -> none")
    assert.strictEqual(readText(v2(PROXY, 0x31, new Uint8Array(216), name)), "253 none -> none")
    assert.strictEqual(readText(v2(PROXY, 0x32, new Uint8Array(216))), "232 none -> none")
  })

  it("with LOCAL is passed over by its length, whatever it holds", () => {
    assert.strictEqual(readText(v2(LOCAL, 0x00)), "16 none -> none local")
    assert.strictEqual(readText(v2(LOCAL, TCP4, IPV4)), "28 none -> none local")
    assert.strictEqual(readText(v2(LOCAL, TCP4, Uint8Array.of(1))), "17 none -> none local")
    assert.strictEqual(readText(v2(LOCAL, 0xff, tlv(CRC32C, Uint8Array.of(1)))), "20 none -> none local")
  })

  it("may hold TLVs of any type", () => {
    const tlvs = [tlv(NOOP, new Uint8Array(0)), tlv(0x20, new Uint8Array(9)), tlv(0xea, new Uint8Array(300))]
    assert.strictEqual(readText(v2(PROXY, TCP4, IPV4, ...tlvs)), `346 ${BOTH_IPV4}`)
  })

  it("is at most 16 KiB", () => {
    const filled = (length: number) => v2(PROXY, TCP4, IPV4, tlv(NOOP, new Uint8Array(length - 31)))
    assert.strictEqual(PROXY_V2_BYTES_MAX, 16384)
    assert.strictEqual(readText(filled(16384)), `16384 ${BOTH_IPV4}`)
    assert.strictEqual(readText(filled(16385)), TOO_LONG)
    assert.strictEqual(readText(v2(LOCAL, 0, new Uint8Array(16368))), "16384 none -> none local")
    assert.strictEqual(readText(v2(LOCAL, 0, new Uint8Array(16369))), TOO_LONG)
    assert.strictEqual(verdictAt(filled(16385)), 16)
  })

  it("costs a constant for each byte that comes", () => {
    const header = v2(PROXY, TCP4, IPV4, tlv(NOOP, new Uint8Array(10_000)))
    for (let shown = 0; shown < header.length; shown++) {
      const counted = countReads(header.subarray(0, shown))
      assert.strictEqual(readProxyHeader(counted.bytes)._tag, "NeedMore")
      assert.isAtMost(counted.reads(), 32)
    }
  })
})

describe("what is no v2 header", () => {
  it("is told apart, by the byte that shows it", () => {
    const CASES: ReadonlyArray<readonly [bytes: Uint8Array, reason: string, at: number]> = [
      [concat(SIGNATURE.subarray(0, 11), Uint8Array.of(0x0d)), BAD_SIGNATURE, 12],
      [hex("0d0a0d0a0d"), BAD_SIGNATURE, 5],
      [v2(0x11, TCP4, IPV4), BAD_COMMAND, 13],
      [v2(0x22, TCP4, IPV4), BAD_COMMAND, 13],
      [v2(0x01, TCP4, IPV4), BAD_COMMAND, 13],
      [v2(PROXY, 0x41, IPV4), BAD_FAMILY, 14],
      [v2(PROXY, 0x13, IPV4), BAD_FAMILY, 14],
      [v2(PROXY, TCP4, IPV4.subarray(1)), SHORT_ADDRESSES, 16],
      [v2(PROXY, TCP6, IPV6.subarray(1)), SHORT_ADDRESSES, 16],
      [v2(PROXY, 0x31, new Uint8Array(215)), SHORT_ADDRESSES, 16],
      [v2(PROXY, 0x10), SHORT_ADDRESSES, 16],
      [v2(PROXY, TCP4, IPV4, Uint8Array.of(NOOP)), BAD_TLVS, 29],
      [v2(PROXY, TCP4, IPV4, Uint8Array.of(NOOP, 0)), BAD_TLVS, 30],
      [v2(PROXY, TCP4, IPV4, Uint8Array.of(NOOP, 0, 1)), BAD_TLVS, 31],
      [v2(PROXY, TCP4, IPV4, tlv(NOOP, IPV4), Uint8Array.of(NOOP, 1, 0, 0)), BAD_TLVS, 47],
      [v2(PROXY, 0x00, IPV4), BAD_TLVS, 28]
    ]
    for (const [bytes, reason, at] of CASES) {
      assert.strictEqual(readText(bytes), reason)
      assert.strictEqual(verdictAt(bytes), at)
    }
  })
})

describe("a CRC32C", () => {
  const blank = v2(PROXY, TCP4, IPV4, tlv(CRC32C, new Uint8Array(4)), tlv(2, Buffer.from("client.example.net")))
  const sealed = withChecksum(blank, 31)

  it("is checked over the whole header, as an independent implementation computes it", () => {
    assert.strictEqual(readText(sealed), `56 ${BOTH_IPV4}`)
    assert.deepStrictEqual(sealed.subarray(31, 35), hex("7ff95496"))
  })

  it("may stand anywhere among the TLVs, and under any family", () => {
    const last = v2(PROXY, TCP6, IPV6, tlv(NOOP, new Uint8Array(2)), tlv(CRC32C, new Uint8Array(4)))
    assert.strictEqual(readText(withChecksum(last, 60)), `64 ${BOTH_IPV6}`)
    assert.strictEqual(readText(last), BAD_CHECKSUM)
    const none = v2(PROXY, 0x00, tlv(CRC32C, new Uint8Array(4)))
    assert.strictEqual(readText(withChecksum(none, 19)), "23 none -> none")
    assert.strictEqual(readText(none), BAD_CHECKSUM)
  })

  it("covers the header alone, not what follows it", () => {
    assert.strictEqual(readText(concat(sealed, Uint8Array.of(22, 3, 1))), `56 ${BOTH_IPV4}`)
  })

  it("is of four bytes", () => {
    for (const size of [0, 3, 5]) {
      assert.strictEqual(readText(v2(PROXY, TCP4, IPV4, tlv(CRC32C, new Uint8Array(size)))), BAD_CHECKSUM)
    }
    const rightButLong = withChecksum(v2(PROXY, TCP4, IPV4, tlv(CRC32C, new Uint8Array(5))), 31)
    assert.strictEqual(readText(rightButLong), BAD_CHECKSUM)
  })

  it("is the only one, even where each of two is right", () => {
    const twice = v2(PROXY, TCP4, IPV4, tlv(CRC32C, hex("321f3a58")), tlv(CRC32C, hex("41715b27")))
    assert.deepStrictEqual(withChecksum(twice, 31), twice)
    assert.deepStrictEqual(withChecksum(twice, 38), twice)
    assert.strictEqual(readText(twice), BAD_CHECKSUM)
  })

  it("refuses the header with any one bit of it turned", () => {
    const refused = new Set<string>()
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const at = bit >> 3
      const flipped = Uint8Array.from(sealed)
      flipped[at]! ^= 1 << (bit & 7)
      // PROXY turned into LOCAL leaves a header that is passed over, and another type an unknown TLV.
      const hidden = flipped[12] === LOCAL || at === 28
      const read = readProxyHeader(flipped)
      assert.strictEqual(read._tag === "Header", hidden, `bit ${bit}`)
      if (read._tag === "Invalid") refused.add(read.reason)
    }
    assert.includeMembers([...refused], [BAD_SIGNATURE, BAD_COMMAND, BAD_FAMILY, TOO_LONG, BAD_CHECKSUM])
  })
})

describe("writeProxyHeader", () => {
  it("writes what is read back, the name and the id as TLVs", () => {
    const property = fc.property(
      anyEnd,
      anyEnd,
      fc.stringMatching(/^[a-z0-9.-]{1,253}$/),
      fc.stringMatching(/^[0-9a-z-]{0,128}$/),
      (client, destination, authority, uniqueId) => {
        const header = writeProxyHeader({ client, destination, authority, uniqueId })
        const expected: ProxyRead = { _tag: "Header", length: header.length, client, destination, local: false }
        assert.deepStrictEqual(readProxyHeader(header), expected)
        const bothIpv4 = client.ip.family === 4 && destination.ip.family === 4
        assert.strictEqual(header[13], bothIpv4 ? TCP4 : TCP6)
        assert.deepStrictEqual(tlvsOf(header, bothIpv4 ? 28 : 52), [
          [0x02, Uint8Array.from(Buffer.from(authority))],
          [0x05, Uint8Array.from(Buffer.from(uniqueId))]
        ])
      }
    )
    fc.assert(property, { numRuns: 300 })
  })

  it("writes IPv4 addresses in the TCP4 form", () => {
    const header = writeProxyHeader({
      client: address("192.0.2.1", 56324),
      destination: address("198.51.100.2", 443),
      authority: "a.example",
      uniqueId: "id"
    })
    const tlvs = hex("02 0009 612e6578616d706c65 05 0002 6964")
    assert.deepStrictEqual(Uint8Array.from(header), v2(PROXY, TCP4, IPV4, tlvs))
  })

  it("writes an IPv4 address beside an IPv6 one as IPv4-mapped", () => {
    const header = writeProxyHeader({
      client: address("192.0.2.1", 1),
      destination: address("2001:db8::2", 2),
      authority: "a",
      uniqueId: "b"
    })
    const addresses = hex("00000000000000000000ffffc0000201 20010db8000000000000000000000002 0001 0002")
    assert.deepStrictEqual(Uint8Array.from(header), v2(PROXY, TCP6, addresses, hex("02 0001 61 05 0001 62")))
  })

  it("sends at most 128 bytes of an id", () => {
    const header = writeProxyHeader({
      client: address("192.0.2.1", 1),
      destination: address("192.0.2.2", 2),
      authority: "a",
      uniqueId: `${"x".repeat(128)}y`
    })
    assert.strictEqual(UNIQUE_ID_BYTES_MAX, 128)
    assert.deepStrictEqual(tlvsOf(header, 28)[1], [0x05, new Uint8Array(128).fill(0x78)])
    assert.deepStrictEqual(header.subarray(14, 16), Buffer.from(uint16(header.length - 16)))
  })
})
