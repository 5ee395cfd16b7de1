import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import fc from "fast-check"
import { Firewall } from "../../src/firewall/Firewall.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { parseFirewallRule, type FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { adding, removing } from "./Drafts.ts"

/** `length` leading bits of 128 that count; an IPv4 address is the mapped one with its bits (RFC 4291 2.5.5.2). */
interface Written {
  readonly type: "ip" | "cidr"
  readonly number: bigint
  readonly length: number
  readonly text: string
}

const MAPPED = 0xffffn << 32n

const isMapped = (number: bigint): boolean => number >> 32n === 0xffffn

const groupsOf = (number: bigint): ReadonlyArray<string> =>
  Array.from({ length: 8 }, (_, i) => ((number >> BigInt(112 - 16 * i)) & 0xffffn).toString(16))

const dotted = (number: bigint): string => [24n, 16n, 8n, 0n].map((shift) => (number >> shift) & 255n).join(".")

/** An address in one of its spellings, and by how much less its network's length is written. */
const spell = (number: bigint, way: number): readonly [text: string, lengthLess: number] => {
  if (isMapped(number) && way === 0) return [dotted(number), 96]
  if (isMapped(number) && way === 1) return [`::FFFF:${dotted(number)}`, 0]
  const text = groupsOf(number).join(":")
  return [way === 2 ? text.toUpperCase() : text, 0]
}

/** Few addresses that share their first bits, IPv4 and IPv6. */
const anyNumber = fc
  .tuple(fc.constantFrom(MAPPED | 0x0a000000n, 0x20010db8n << 96n, 0n, (MAPPED << 1n) | 1n), fc.nat(31), fc.boolean())
  .map(([base, bit, turned]) => (turned ? base ^ (1n << BigInt(bit)) : base))

const way = fc.nat(3)

const anyRule = fc.oneof(
  fc
    .tuple(anyNumber, way)
    .map(([number, way]): Written => ({ type: "ip", number, length: 128, text: spell(number, way)[0] })),
  fc.tuple(anyNumber, way, fc.integer({ min: 0, max: 128 })).map(([number, way, anyLength]): Written => {
    const length = isMapped(number) ? Math.max(96, anyLength) : anyLength
    const network = (number >> BigInt(128 - length)) << BigInt(128 - length)
    const [text, less] = spell(network, way)
    return { type: "cidr", number: network, length, text: `${text}/${length - less}` }
  })
)

const ruleOf = ({ text, type }: Written): FirewallRule => Result.getOrThrow(parseFirewallRule(type, text))

/** IPv4 addresses are in no network of IPv6 addresses, however wide. */
const contains = ({ length, number, type }: Written, source: bigint): boolean => {
  const hostBits = BigInt(128 - length)
  const alike = isMapped(source) === (isMapped(number) && (type === "ip" || length >= 96))
  return alike && source >> hostBits === number >> hostBits
}

const sameRule = (a: Written, b: Written): boolean =>
  a.type === b.type && a.number === b.number && a.length === b.length

/** What blocks: `ip`, the length of the narrowest network, or nothing. */
const naiveMatch = (rules: ReadonlyArray<Written>, source: bigint): string | number | undefined => {
  const around = rules.filter((rule) => contains(rule, source))
  if (around.some(({ type }) => type === "ip")) return "ip"
  return around.length === 0 ? undefined : Math.max(...around.map(({ length }) => length))
}

const matchOf = (rule: FirewallRule | undefined): string | number | undefined => {
  if (rule === undefined || rule.type === "ip") return rule?.type
  const [address, length] = rule.value.split("/")
  return Number(length) + (address!.includes(":") ? 0 : 96)
}

it("blocks the same whatever the spelling of rules and of sources, in any order of changes", () => {
  const blocked = new Set<string | number | undefined>()
  const change = fc.record({ adds: fc.boolean(), rule: anyRule, way })
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 20, size: "max" }),
      fc.array(anyNumber, { maxLength: 6 }),
      way,
      (changes, numbers, way) => {
        let firewall = Firewall.empty
        let rules: ReadonlyArray<Written> = []
        for (const { adds, rule } of changes) {
          const others = rules.filter((held) => !sameRule(held, rule))
          firewall = adds ? adding(firewall, [ruleOf(rule)]) : removing(firewall, [ruleOf(rule)])
          rules = adds ? [...others, rule] : others
          for (const number of [...numbers, rule.number]) {
            const found = matchOf(firewall.match(parseIpAddress(spell(number, way)[0])!, ""))
            assert.strictEqual(found, naiveMatch(rules, number), `${spell(number, way)[0]} by ${rule.text}`)
            blocked.add(found)
          }
        }
      }
    ),
    { numRuns: 300 }
  )
  assert.includeMembers([...blocked], ["ip", undefined, 128, 0])
})
