import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import fc from "fast-check"
import { Firewall } from "../../src/firewall/Firewall.ts"
import { parseIpAddress, type IpAddress } from "../../src/net/IpAddress.ts"
import { formatCidr, parseCidr, parseFirewallRule, type FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { adding, removing } from "./Drafts.ts"
import { address, cidr, edgesOf, narrowest } from "./Networks.ts"

const rule = (type: FirewallRule["type"], value: string): FirewallRule =>
  Result.getOrThrow(parseFirewallRule(type, value))

const ip = (text: string): IpAddress => parseIpAddress(text)!

const isSame = (a: FirewallRule, b: FirewallRule): boolean => a.type === b.type && a.value === b.value

const anyRule: fc.Arbitrary<FirewallRule> = fc.oneof(
  address.map(({ text }) => ({ type: "ip", value: text }) as const),
  cidr.map((network) => ({ type: "cidr", value: formatCidr(network) }) as const),
  fc.constantFrom("DE", "FR", "US").map((value) => ({ type: "country", value }) as const)
)

/** The contract's order, by looking at every rule. */
const naiveMatch = (rules: ReadonlyArray<FirewallRule>, source: IpAddress, country: string) => {
  const networks = rules
    .filter(({ type }) => type === "cidr")
    .map((held) => [Result.getOrThrow(parseCidr(held.value)), held] as const)
  return (
    rules.find((held) => held.type === "ip" && held.value === source.text) ??
    narrowest(networks, source)?.[1] ??
    rules.find((held) => held.type === "country" && held.value === country)
  )
}

const agrees = (firewall: Firewall, rules: ReadonlyArray<FirewallRule>, sources: ReadonlyArray<IpAddress>) => {
  const count = (type: FirewallRule["type"]) => rules.filter((held) => held.type === type).length
  assert.deepStrictEqual(firewall.counts, { ip: count("ip"), cidr: count("cidr"), country: count("country") })
  for (const source of sources) {
    for (const country of ["", "DE"]) {
      assert.deepStrictEqual(firewall.match(source, country), naiveMatch(rules, source, country), source.text)
    }
  }
}

/** Where a rule begins and ends to matter. */
const sourcesOf = (rules: ReadonlyArray<FirewallRule>): ReadonlyArray<IpAddress> =>
  rules.flatMap(({ type, value }) =>
    type === "ip" ? [ip(value)] : type === "cidr" ? edgesOf(Result.getOrThrow(parseCidr(value))) : []
  )

describe("Firewall", () => {
  it("blocks nothing when it is empty", () => {
    assert.isUndefined(Firewall.empty.match(ip("10.0.0.1"), "DE"))
  })

  it("names the address before the network, and the network before the country", () => {
    const rules = [rule("country", "DE"), rule("cidr", "10.0.0.0/8"), rule("ip", "10.0.0.1")]
    const firewall = adding(Firewall.empty, rules)
    assert.deepStrictEqual(firewall.match(ip("10.0.0.1"), "DE"), rule("ip", "10.0.0.1"))
    assert.deepStrictEqual(firewall.match(ip("10.0.0.2"), "DE"), rule("cidr", "10.0.0.0/8"))
    assert.deepStrictEqual(firewall.match(ip("11.0.0.1"), "DE"), rule("country", "DE"))
    assert.isUndefined(firewall.match(ip("11.0.0.1"), "FR"))
    assert.isUndefined(firewall.match(ip("11.0.0.1"), ""))
  })

  it("keeps an address apart from the network of that one address", () => {
    const both = adding(Firewall.empty, [rule("ip", "10.0.0.1"), rule("cidr", "10.0.0.1/32")])
    assert.deepStrictEqual(both.counts, { ip: 1, cidr: 1, country: 0 })
    const one = removing(both, [rule("ip", "10.0.0.1")])
    assert.deepStrictEqual(one.match(ip("10.0.0.1"), ""), rule("cidr", "10.0.0.1/32"))
    assert.isUndefined(removing(one, [rule("cidr", "10.0.0.1/32")]).match(ip("10.0.0.1"), ""))
  })

  it("blocks a mapped address by its IPv4 rule", () => {
    const firewall = adding(Firewall.empty, [rule("ip", "::ffff:10.0.0.1"), rule("cidr", "192.0.2.0/24")])
    assert.deepStrictEqual(firewall.match(ip("10.0.0.1"), ""), rule("ip", "10.0.0.1"))
    assert.deepStrictEqual(firewall.match(ip("::ffff:192.0.2.1"), ""), rule("cidr", "192.0.2.0/24"))
  })

  it("agrees with a list of rules after any changes, and older versions stay as they were", () => {
    const change = fc.record({ adds: fc.boolean(), rule: anyRule })
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 25, size: "max" }),
        fc.array(address, { maxLength: 5 }),
        (changes, addresses) => {
          let firewall = Firewall.empty
          let rules: ReadonlyArray<FirewallRule> = []
          const versions = [[firewall, rules] as const]
          for (const [i, { adds, rule }] of changes.entries()) {
            const target = adds || i % 2 === 0 ? rule : changes[i - 1]!.rule
            const others = rules.filter((held) => !isSame(held, target))
            firewall = adds ? adding(firewall, [target]) : removing(firewall, [target])
            rules = adds ? [...others, target] : others
            versions.push([firewall, rules])
          }
          const sources = [...sourcesOf(changes.map(({ rule }) => rule)), ...addresses]
          for (const [older, itsRules] of versions) agrees(older, itsRules, sources)
        }
      ),
      { numRuns: 40 }
    )
  })

  it("is the same of rules at once and rule by rule", () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 40 }), (rules) => {
        const atOnce = adding(Firewall.empty, rules)
        const folded = rules.reduce((firewall, held) => adding(firewall, [held]), Firewall.empty)
        assert.deepStrictEqual(atOnce.counts, folded.counts)
        for (const source of sourcesOf(rules)) {
          assert.deepStrictEqual(atOnce.match(source, "DE"), folded.match(source, "DE"), source.text)
        }
      })
    )
  })
})
