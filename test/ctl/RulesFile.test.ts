import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { formatRules, parseRules } from "../../src/ctl/RulesFile.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { ruleKey } from "../../src/snapshot/Change.ts"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"

const address = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => parseIpAddress(text)!.text)

/** Any kind of rule, in canonical form. */
const randomRule: fc.Arbitrary<FirewallRule> = fc.oneof(
  fc.record({ type: fc.constant("ip" as const), value: address }),
  fc.record({
    type: fc.constant("cidr" as const),
    value: address.map((text) => `${text}/${text.includes(":") ? 128 : 32}`)
  }),
  fc.record({ type: fc.constant("country" as const), value: fc.stringMatching(/^[A-Z]{2}$/) })
)

const rulesOf = (text: string) => Result.getOrThrow(parseRules(text))

const problemsOf = (text: string) => Result.getOrThrow(Result.flip(parseRules(text)))

describe("a file of rules", () => {
  it("is read as it was written, and each rule once", () => {
    fc.assert(
      fc.property(fc.array(randomRule), (rules) => {
        const distinct = [...new Map(rules.map((rule) => [ruleKey(rule), rule])).values()]
        assert.deepStrictEqual(rulesOf(formatRules(rules)), distinct)
      })
    )
  })

  it("may have comments, blank lines and spaces, the line ends of any system, and a byte order mark", () => {
    const text = "\uFEFF# office\r\n\r\n  ip\t192.0.2.1  # a desk\r\n#\ncidr 2001:db8::/32#lab\ncountry KP"
    assert.deepStrictEqual(rulesOf(text), [
      { type: "ip", value: "192.0.2.1" },
      { type: "cidr", value: "2001:db8::/32" },
      { type: "country", value: "KP" }
    ])
    assert.deepStrictEqual(rulesOf(""), [])
  })

  it("is read in canonical form, in which two ways to write a rule are one", () => {
    assert.deepStrictEqual(rulesOf("ip ::ffff:192.0.2.1\nip 192.0.2.1\ncidr 2001:DB8:0::/32\n"), [
      { type: "ip", value: "192.0.2.1" },
      { type: "cidr", value: "2001:db8::/32" }
    ])
  })

  it("with bad lines is refused, and every one of them told with its number", () => {
    const text = "ip 192.0.2.1\nip\n\nIP 192.0.2.2\ncidr 10.0.0.1/8\ncountry se\nip 1.2.3.4 5.6.7.8\nip \u001b[2J\n"
    assert.deepStrictEqual(problemsOf(text), [
      { path: "line 2", message: '"ip" is not one type and one value' },
      { path: "line 4", message: '"IP" is none of ip, cidr, country' },
      { path: "line 5", message: '"10.0.0.1/8" has host bits set beyond /8' },
      { path: "line 6", message: '"se" is not two upper-case letters' },
      { path: "line 7", message: '"ip 1.2.3.4 5.6.7.8" is not one type and one value' },
      { path: "line 8", message: '"\\u001b[2J" is no IP address' }
    ])
  })
})
