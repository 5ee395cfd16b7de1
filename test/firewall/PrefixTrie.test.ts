import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import fc from "fast-check"
import { PrefixTrie } from "../../src/firewall/PrefixTrie.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { formatCidr, parseIpOrCidr, type Cidr } from "../../src/snapshot/FirewallRule.ts"
import { address, cidr, edgesOf, isSameNetwork, narrowest } from "./Networks.ts"

const network = (text: string): Cidr => Result.getOrThrow(parseIpOrCidr(text))

const trieOf = (...networks: ReadonlyArray<string>): PrefixTrie<string> =>
  PrefixTrie.from(networks.map((text) => [network(text), text] as const))

const matchText = (trie: PrefixTrie<string>, ip: string) => trie.match(parseIpAddress(ip)!)

type Model = ReadonlyArray<readonly [Cidr, number]>

const without = (model: Model, removed: Cidr): Model => model.filter(([held]) => !isSameNetwork(held, removed))

/** Every question, asked of the trie and of the list. */
const agrees = (trie: PrefixTrie<number>, model: Model, probes: ReadonlyArray<Cidr>) => {
  assert.strictEqual(trie.size, model.length)
  for (const probe of probes) {
    const held = model.some(([other]) => isSameNetwork(other, probe))
    assert.strictEqual(trie.has(probe), held, formatCidr(probe))
    for (const ip of edgesOf(probe)) {
      assert.strictEqual(trie.match(ip), narrowest(model, ip)?.[1], `${ip.text} of ${formatCidr(probe)}`)
    }
  }
  const listed = [...trie.entries()].map(([held, value]) => [formatCidr(held), value])
  assert.sameDeepMembers(
    listed,
    model.map(([held, value]) => [formatCidr(held), value])
  )
}

describe("PrefixTrie", () => {
  it("answers with the narrowest network around an address", () => {
    const trie = trieOf("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32", "::/0")
    assert.strictEqual(matchText(trie, "10.1.2.3"), "10.1.2.3")
    assert.strictEqual(matchText(trie, "10.1.2.4"), "10.1.0.0/16")
    assert.strictEqual(matchText(trie, "10.2.0.0"), "10.0.0.0/8")
    assert.strictEqual(matchText(trie, "11.0.0.0"), "0.0.0.0/0")
    assert.strictEqual(matchText(trie, "2001:db8:ffff::"), "2001:db8::/32")
    assert.strictEqual(matchText(trie, "2001:db9::"), "::/0")
  })

  it("keeps the families apart, and takes a mapped address for its IPv4 address", () => {
    assert.isUndefined(matchText(trieOf("0.0.0.0/0"), "::1"))
    assert.isUndefined(matchText(trieOf("::/0"), "0.0.0.1"))
    assert.strictEqual(matchText(trieOf("::ffff:10.0.0.0/104"), "10.9.8.7"), "::ffff:10.0.0.0/104")
    assert.strictEqual(matchText(trieOf("10.0.0.0/8"), "::ffff:10.9.8.7"), "10.0.0.0/8")
  })

  it("does not take a wider network for one that was added", () => {
    const trie = trieOf("10.0.0.0/8", "10.128.0.0/9", "10.0.0.0/10")
    assert.isTrue(trie.has(network("10.0.0.0/8")))
    assert.isFalse(trie.has(network("10.0.0.0/9")))
    assert.isFalse(trie.has(network("10.0.0.0/32")))
    assert.isFalse(trie.has(network("::/0")))
  })

  it("returns itself when there is nothing to remove", () => {
    const trie = trieOf("10.0.0.0/8", "10.128.0.0/9", "10.0.0.0/10")
    assert.strictEqual(trie.remove(network("10.0.0.0/9")), trie)
    assert.strictEqual(trie.remove(network("11.0.0.0/8")), trie)
    assert.strictEqual(PrefixTrie.empty().remove(network("::/0")).size, 0)
  })

  it("lists by address and width, IPv4 first, whatever the order of adding", () => {
    const inOrder = ["0.0.0.0/0", "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/9", "200.0.0.1/32", "::/0", "::/1", "fe80::/10"]
    fc.assert(
      fc.property(fc.shuffledSubarray(inOrder, { minLength: inOrder.length }), (shuffled) => {
        const added = shuffled.reduce((trie, text) => trie.add(network(text), text), PrefixTrie.empty<string>())
        for (const trie of [added, trieOf(...shuffled)]) {
          assert.deepStrictEqual(
            [...trie.entries()].map(([held]) => formatCidr(held)),
            inOrder
          )
        }
      })
    )
  })

  it("agrees with a list after any additions and removals, and older versions stay as they were", () => {
    const change = fc.record({ adds: fc.boolean(), cidr, value: fc.nat(9) })
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 40, size: "max" }),
        fc.array(address, { maxLength: 5 }),
        (changes, addresses) => {
          let trie = PrefixTrie.empty<number>()
          let model: Model = []
          const versions = [[trie, model] as const]
          // Removals mostly hit: each also aims at the network that was added just before.
          for (const [i, { adds, cidr, value }] of changes.entries()) {
            const target = adds || i % 2 === 0 ? cidr : changes[i - 1]!.cidr
            trie = adds ? trie.add(target, value) : trie.remove(target)
            model = adds ? [...without(model, target), [target, value]] : without(model, target)
            versions.push([trie, model])
          }
          const singles = addresses.map((ip): Cidr => ({ ip, length: ip.family === 4 ? 32 : 128 }))
          const probes = [...changes.map(({ cidr }) => cidr), ...singles]
          for (const [older, itsModel] of versions) agrees(older, itsModel, probes)
        }
      ),
      { numRuns: 60 }
    )
  })

  it("is the same built at once and one by one", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(cidr, fc.nat(9)), { maxLength: 200, size: "max" }), (entries) => {
        const added = entries.reduce((trie, [held, value]) => trie.add(held, value), PrefixTrie.empty<number>())
        const atOnce = PrefixTrie.from(entries)
        assert.strictEqual(atOnce.size, added.size)
        assert.deepStrictEqual([...atOnce.entries()], [...added.entries()])
        const model = entries.reduce<Model>((list, [held, value]) => [...without(list, held), [held, value]], [])
        agrees(atOnce, model, entries.map(([held]) => held).slice(0, 20))
      })
    )
  })
})
