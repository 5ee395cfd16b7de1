import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { NetAddress } from "effect/net"
import * as fc from "fast-check"
import { isIP } from "node:net"
import { ipv4FromWord, ipv6FromWords, parseIpAddress } from "../../src/net/IpAddress.ts"
import { formatSocketAddress } from "../../src/net/SocketAddress.ts"

/** Groups of an IPv6 address, with runs of zeros as real ones have. */
const groups = fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(0xffff) }), {
  minLength: 8,
  maxLength: 8
})

const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255))

/** One of the legal spellings: capitals, leading zeros, a run of zeros as `::`, the end in dotted decimal. */
const ipv6Spelling = fc
  .record({
    groups,
    gap: fc.option(fc.tuple(fc.nat(7), fc.nat(8))),
    capitals: fc.boolean(),
    dotted: fc.boolean(),
    pad: fc.nat(4)
  })
  .map(({ groups, gap, capitals, dotted, pad }) => {
    const hex = groups.map((group) => group.toString(16).padStart(pad, "0"))
    const texts = dotted ? [...hex.slice(0, 6), dottedDecimal(groups[6]!, groups[7]!)] : hex
    const [from, length] = gap ?? [0, 0]
    const zeros = groups.slice(from, from + length)
    const short = zeros.length > 0 && zeros.every((group) => group === 0) && from + length <= texts.length
    const text = short ? `${texts.slice(0, from).join(":")}::${texts.slice(from + length).join(":")}` : texts.join(":")
    return capitals ? text.toUpperCase() : text
  })

const dottedDecimal = (high: number, low: number): string => [high >> 8, high & 255, low >> 8, low & 255].join(".")

/** Text that is nearly an address, and often one. */
const nearly = fc.oneof(
  ipv6Spelling,
  octets.map((parts) => parts.join(".")),
  fc.string({ unit: fc.constantFrom(..."0123456789abcfF:::...%x "), maxLength: 42, size: "max" }),
  fc
    .tuple(ipv6Spelling, fc.nat(40), fc.constantFrom("", ":", "::", ".", "0", "g", "1.2.3.4", "%1"), fc.nat(3))
    .map(([text, at, insert, cut]) => text.slice(0, at) + insert + text.slice(at + cut))
)

/** The same, by the library's own parser. */
const canonical = (text: string): string | undefined =>
  Result.match(NetAddress.ipFromString(text), {
    onFailure: () => undefined,
    onSuccess: (address) => NetAddress.formatIp(NetAddress.toCanonical(address))
  })

it("takes exactly the texts that Node takes for an address without a zone", () => {
  fc.assert(
    fc.property(nearly, (text) => {
      assert.strictEqual(parseIpAddress(text) !== undefined, isIP(text) !== 0 && !text.includes("%"), text)
    }),
    { numRuns: 5000 }
  )
})

it("writes every spelling of an address in the same canonical text as the library", () => {
  fc.assert(
    fc.property(nearly, (text) => assert.strictEqual(parseIpAddress(text)?.text, canonical(text))),
    { numRuns: 5000 }
  )
})

it("takes its own text back to an equal address", () => {
  fc.assert(
    fc.property(nearly, (text) => {
      const address = parseIpAddress(text)
      if (address !== undefined) assert.deepStrictEqual(parseIpAddress(address.text), address)
    }),
    { numRuns: 2000 }
  )
})

it("has the words of the address, in network order and signed", () => {
  fc.assert(
    fc.property(groups, (parts) => {
      const words = [0, 2, 4, 6].map((i) => (parts[i]! << 16) | parts[i + 1]!) as [number, number, number, number]
      const address = ipv6FromWords(...words)
      assert.deepStrictEqual(parseIpAddress(parts.map((part) => part.toString(16)).join(":")), address)
      if (address.family === 6) assert.deepStrictEqual([address.w0, address.w1, address.w2, address.w3], words)
    })
  )
  fc.assert(
    fc.property(octets, (parts) => {
      const word = parts.reduce((sum, octet) => sum * 256 + octet, 0)
      const address = ipv4FromWord(word)
      assert.deepStrictEqual(parseIpAddress(parts.join(".")), address)
      assert.deepStrictEqual(ipv4FromWord(word | 0), address)
      assert.deepStrictEqual(
        [address.family, address.w0, address.w1, address.w2, address.w3, address.text],
        [4, word | 0, 0, 0, 0, parts.join(".")]
      )
    })
  )
})

it("takes an IPv4-mapped address for its IPv4 address, however it is spelt", () => {
  fc.assert(
    fc.property(octets, (parts) => {
      const dotted = parts.join(".")
      const hex = [parts[0] * 256 + parts[1], parts[2] * 256 + parts[3]].map((group) => group.toString(16)).join(":")
      for (const text of [`::ffff:${dotted}`, `::FFFF:${hex}`, `0:0:0:0:0:ffff:${hex}`, `0000::ffff:${dotted}`]) {
        assert.deepStrictEqual(parseIpAddress(text), parseIpAddress(dotted))
      }
    })
  )
  assert.strictEqual(parseIpAddress("::1.2.3.4")?.family, 6)
  assert.strictEqual(parseIpAddress("::fffe:1.2.3.4")?.family, 6)
  assert.strictEqual(parseIpAddress("::1:ffff:1.2.3.4")?.family, 6)
})

it("writes IPv6 as RFC 5952 asks", () => {
  const golden = {
    "2001:0db8::0001": "2001:db8::1",
    "2001:db8:0:0:0:0:2:1": "2001:db8::2:1",
    "2001:db8::1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1:0:0:0:1": "2001:0:0:1::1",
    "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "2001:DB8:AAAA:BBBB:CCCC:DDDD:EEEE:FFFF": "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff",
    "0:0:0:0:0:0:0:0": "::",
    "0:0:0:0:0:0:0:1": "::1",
    "1:0:0:0:0:0:0:0": "1::",
    "1:2:3:4:5:6:7::": "1:2:3:4:5:6:7:0",
    "::2:3:4:5:6:7:8": "0:2:3:4:5:6:7:8",
    "64:ff9b::192.0.2.33": "64:ff9b::c000:221",
    "::ffff:192.0.2.33": "192.0.2.33"
  }
  for (const [input, text] of Object.entries(golden)) assert.strictEqual(parseIpAddress(input)?.text, text)
})

it("refuses what others read in more than one way", () => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.04",
    "01.2.3.4",
    "1.2.3.256",
    "0x7f.0.0.1",
    "1.2.3.4 ",
    "+1.2.3.4",
    "١.2.3.4",
    ":",
    ":::",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4::5:6:7:8",
    ":1:2:3:4:5:6:7:8",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "::ffff:1.2.3.04",
    "fe80::1%eth0",
    "[::1]"
  ]) {
    assert.isUndefined(parseIpAddress(text), text)
  }
})

it("writes a socket's address with an IPv6 address in brackets", () => {
  assert.strictEqual(formatSocketAddress({ ip: parseIpAddress("192.0.2.1")!, port: 443 }), "192.0.2.1:443")
  assert.strictEqual(formatSocketAddress({ ip: parseIpAddress("2001:DB8::1")!, port: 443 }), "[2001:db8::1]:443")
  assert.strictEqual(formatSocketAddress({ ip: parseIpAddress("::ffff:192.0.2.1")!, port: 0 }), "192.0.2.1:0")
})
