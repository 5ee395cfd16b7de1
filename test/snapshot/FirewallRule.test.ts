import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { IpNetwork } from "effect/net"
import * as fc from "fast-check"
import { ipv4FromWord, ipv6FromWords, parseIpAddress } from "../../src/net/IpAddress.ts"
import { formatCidr, parseCidr, parseFirewallRule, parseIpOrCidr } from "../../src/snapshot/FirewallRule.ts"

const word = fc.oneof(fc.integer(), fc.constant(0), fc.constant(-1))

const addresses = fc.oneof(
  word.map(ipv4FromWord),
  fc.tuple(word, word, word, word).map((words) => ipv6FromWords(...words))
)

/** The first `length` of 32 bits. */
const masked = (bits: number, length: number): number =>
  length <= 0 ? 0 : length >= 32 ? bits : bits & ~(0xffff_ffff >>> length)

/** Networks, addresses with host bits, and what is nearly either. */
const cidrs = fc.oneof(
  fc.tuple(word, fc.nat(33)).map(([bits, length]) => `${ipv4FromWord(masked(bits, length)).text}/${length}`),
  fc
    .tuple(word, word, word, word, fc.nat(129))
    .map(
      ([a, b, c, d, n]) =>
        [ipv6FromWords(masked(a, n), masked(b, n - 32), masked(c, n - 64), masked(d, n - 96)), n] as const
    )
    .map(([{ text }, length]) => `${text}/${length}`),
  fc.tuple(addresses, fc.nat(130)).map(([{ text }, length]) => `${text}/${length}`),
  fc
    .tuple(addresses, fc.constantFrom("", "/", "/ 8", "/08", "/+8", "/-1", "/8.0", "/8/8", "/1e1", "/999", "/8 "))
    .map(([{ text }, end]) => text + end)
)

it("takes the networks that the library takes, in the same canonical text", () => {
  fc.assert(
    fc.property(cidrs, (text) => {
      const expected = Result.getOrUndefined(Result.map(IpNetwork.fromString(text), IpNetwork.format))
      assert.strictEqual(Result.getOrUndefined(Result.map(parseCidr(text), formatCidr)), expected, text)
    }),
    { numRuns: 5000 }
  )
})

it("takes a network of IPv4-mapped addresses for that of their IPv4 addresses", () => {
  fc.assert(
    fc.property(word, fc.integer({ min: 90, max: 128 }), (bits, length) => {
      const { text } = ipv4FromWord(masked(bits, length - 96))
      const mapped = parseCidr(`::ffff:${text}/${length}`)
      if (length >= 96) assert.deepStrictEqual(mapped, parseCidr(`${text}/${length - 96}`))
      else assert.isTrue(Result.isFailure(mapped))
    })
  )
})

it("takes an address where a network may stand for the network of that address alone", () => {
  fc.assert(
    fc.property(addresses, (ip) => {
      const length = ip.family === 4 ? 32 : 128
      assert.deepStrictEqual(parseIpOrCidr(ip.text), Result.succeed({ ip, length }))
      assert.deepStrictEqual(parseIpOrCidr(`${ip.text}/${length}`), Result.succeed({ ip, length }))
    })
  )
  assert.deepStrictEqual(parseIpOrCidr("::ffff:192.0.2.1"), parseIpOrCidr("192.0.2.1"))
  assert.deepStrictEqual(parseIpOrCidr("host"), Result.fail("is neither an IP address nor a CIDR"))
  assert.deepStrictEqual(parseIpOrCidr("host/8"), Result.fail("is no CIDR such as 10.0.0.0/8 or 2001:db8::/32"))
})

it("says what is wrong with a network", () => {
  const problems = {
    "10.0.0.0": "is no CIDR such as 10.0.0.0/8 or 2001:db8::/32",
    "10.0.0/8": "is no CIDR such as 10.0.0.0/8 or 2001:db8::/32",
    "10.0.0.0/08": "is no CIDR such as 10.0.0.0/8 or 2001:db8::/32",
    "10.0.0.0/33": "has a prefix length over 32",
    "2001:db8::/129": "has a prefix length over 128",
    "::ffff:10.0.0.0/129": "has a prefix length over 128",
    "10.0.0.1/8": "has host bits set beyond /8",
    "2001:db8::1/64": "has host bits set beyond /64",
    "::ffff:10.0.0.1/104": "has host bits set beyond /8",
    "::ffff:0:0/95": "covers more than the IPv4-mapped range ::ffff:0:0/96; write an IPv4 CIDR"
  }
  for (const [text, problem] of Object.entries(problems)) {
    assert.deepStrictEqual(parseCidr(text), Result.fail(problem), text)
  }
})

it("puts a rule's value into canonical form", () => {
  const golden = [
    ["ip", "2001:DB8::0001", "2001:db8::1"],
    ["ip", "::ffff:192.0.2.1", "192.0.2.1"],
    ["cidr", "2001:DB8:0::/32", "2001:db8::/32"],
    ["cidr", "::ffff:10.0.0.0/104", "10.0.0.0/8"],
    ["cidr", "0.0.0.0/0", "0.0.0.0/0"],
    ["country", "KP", "KP"]
  ] as const
  for (const [type, value, canonical] of golden) {
    assert.deepStrictEqual(parseFirewallRule(type, value), Result.succeed({ type, value: canonical }))
  }
})

it("refuses a value that is not of the rule's type", () => {
  assert.deepStrictEqual(parseFirewallRule("ip", "10.0.0.0/8"), Result.fail("is no IP address"))
  assert.isTrue(Result.isFailure(parseFirewallRule("cidr", "10.0.0.1")))
  for (const country of ["", "K", "kp", "KPX", "K1", "KP\n", "ÄÖ"]) {
    assert.deepStrictEqual(parseFirewallRule("country", country), Result.fail("is not two upper-case letters"))
  }
})

it("gives a network its address and length", () => {
  assert.deepStrictEqual(parseCidr("2001:db8::/32"), Result.succeed({ ip: parseIpAddress("2001:db8::")!, length: 32 }))
})
