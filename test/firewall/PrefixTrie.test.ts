import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import fc from "fast-check"
import { NODES_A_NETWORK_MAX, NODES_MIN, PrefixTree } from "../../src/firewall/PrefixTree.ts"
import { PrefixTrie } from "../../src/firewall/PrefixTrie.ts"
import { ipv4FromWord, parseIpAddress } from "../../src/net/IpAddress.ts"
import { formatCidr, networkAround, parseIpOrCidr, type Cidr } from "../../src/snapshot/FirewallRule.ts"
import { adding, removing } from "./Drafts.ts"
import { address, cidr, edgesOf, isSameNetwork, narrowest } from "./Networks.ts"

const network = (text: string): Cidr => Result.getOrThrow(parseIpOrCidr(text))

const trieOf = (...networks: ReadonlyArray<string>): PrefixTrie => PrefixTrie.empty.add(networks.map(network))

/** The network that an address is found in. */
const matchText = (trie: PrefixTrie, text: string) => {
  const ip = parseIpAddress(text)!
  const length = trie.match(ip)
  return length === undefined ? undefined : formatCidr(networkAround(ip, length))
}

type Model = ReadonlyArray<Cidr>

const without = (model: Model, removed: Model): Model =>
  model.filter((held) => !removed.some((other) => isSameNetwork(held, other)))

const withAll = (model: Model, added: Model): Model =>
  added.reduce((held, network) => [...without(held, [network]), network], model)

/** Every question, asked of the trie and of the list. */
const agrees = (trie: PrefixTrie, model: Model, probes: ReadonlyArray<Cidr>) => {
  assert.strictEqual(trie.size, model.length)
  const entries = model.map((held) => [held, held.length] as const)
  for (const probe of probes) {
    const held = model.some((other) => isSameNetwork(other, probe))
    assert.strictEqual(trie.has(probe), held, formatCidr(probe))
    for (const ip of edgesOf(probe)) {
      assert.strictEqual(trie.match(ip), narrowest(entries, ip)?.[1], `${ip.text} of ${formatCidr(probe)}`)
    }
  }
  assert.sameMembers([...trie.entries()].map(formatCidr), model.map(formatCidr))
}

describe("PrefixTrie", () => {
  it("answers with the narrowest network around an address", () => {
    const trie = trieOf("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32", "::/0")
    assert.strictEqual(matchText(trie, "10.1.2.3"), "10.1.2.3/32")
    assert.strictEqual(matchText(trie, "10.1.2.4"), "10.1.0.0/16")
    assert.strictEqual(matchText(trie, "10.2.0.0"), "10.0.0.0/8")
    assert.strictEqual(matchText(trie, "11.0.0.0"), "0.0.0.0/0")
    assert.strictEqual(matchText(trie, "2001:db8:ffff::"), "2001:db8::/32")
    assert.strictEqual(matchText(trie, "2001:db9::"), "::/0")
  })

  it("keeps the families apart, and takes a mapped address for its IPv4 address", () => {
    assert.isUndefined(matchText(trieOf("0.0.0.0/0"), "::1"))
    assert.isUndefined(matchText(trieOf("::/0"), "0.0.0.1"))
    assert.strictEqual(matchText(trieOf("::ffff:10.0.0.0/104"), "10.9.8.7"), "10.0.0.0/8")
    assert.strictEqual(matchText(trieOf("10.0.0.0/8"), "::ffff:10.9.8.7"), "10.0.0.0/8")
  })

  it("does not take a wider network for one that was added", () => {
    const trie = trieOf("10.0.0.0/8", "10.128.0.0/9", "10.0.0.0/10")
    assert.isTrue(trie.has(network("10.0.0.0/8")))
    assert.isFalse(trie.has(network("10.0.0.0/9")))
    assert.isFalse(trie.has(network("10.0.0.0/32")))
    assert.isFalse(trie.has(network("::/0")))
  })

  it("returns itself when there is nothing to remove or to add", () => {
    const trie = trieOf("10.0.0.0/8", "10.128.0.0/9", "10.0.0.0/10")
    assert.strictEqual(removing(trie, [network("10.0.0.0/9")]), trie)
    assert.strictEqual(removing(trie, [network("11.0.0.0/8"), network("::/8")]), trie)
    assert.strictEqual(removing(PrefixTrie.empty, [network("::/0")]), PrefixTrie.empty)
    assert.strictEqual(trie.add([network("10.128.0.0/9"), network("10.0.0.0/8")]), trie)
    assert.strictEqual(trie.add([]), trie)
  })

  it("lists by address and width, IPv4 first, whatever the order of adding", () => {
    const inOrder = ["0.0.0.0/0", "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/9", "200.0.0.1/32", "::/0", "::/1", "fe80::/10"]
    fc.assert(
      fc.property(fc.shuffledSubarray(inOrder, { minLength: inOrder.length }), (shuffled) => {
        const added = shuffled.reduce((trie, text) => trie.add([network(text)]), PrefixTrie.empty)
        for (const trie of [added, trieOf(...shuffled)]) {
          assert.deepStrictEqual([...trie.entries()].map(formatCidr), inOrder)
        }
      })
    )
  })

  it("agrees with a list after any additions and removals, and older versions stay as they were", () => {
    const edit = fc.record({ adds: fc.boolean(), network: cidr })
    const change = fc.record({ edits: fc.array(edit, { maxLength: 6 }), from: fc.nat() })
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 30, size: "max" }),
        fc.array(address, { maxLength: 5 }),
        (changes, addresses) => {
          const versions: Array<readonly [PrefixTrie, Model]> = [[PrefixTrie.empty, []]]
          for (const [i, { edits, from }] of changes.entries()) {
            // Mostly the newest is changed, and sometimes one that others have been made from already.
            const [trie, before] = versions[from % 3 === 0 ? from % versions.length : versions.length - 1]!
            const draft = trie.draft()
            let model = before
            for (const { adds, network } of edits) {
              // Removals mostly hit: each also aims at half of what this change and the one before are about.
              const known = [...edits, ...(changes[i - 1]?.edits ?? [])].map(({ network }) => network)
              const removed = [network, ...known.filter((_, at) => at % 2 === from % 2)]
              if (adds) draft.add(network)
              else removed.forEach((each) => draft.remove(each))
              model = adds ? withAll(model, [network]) : without(model, removed)
            }
            versions.push([draft.finish(), model])
          }
          const singles = addresses.map((ip): Cidr => ({ ip, length: ip.family === 4 ? 32 : 128 }))
          const probes = [...changes.flatMap(({ edits }) => edits.map(({ network }) => network)), ...singles]
          for (const [version, itsModel] of versions) agrees(version, itsModel, probes)
        }
      ),
      { numRuns: 60 }
    )
  })

  it("is the same built at once and one by one", () => {
    fc.assert(
      fc.property(fc.array(cidr, { maxLength: 200, size: "max" }), (networks) => {
        const added = networks.reduce((trie, held) => trie.add([held]), PrefixTrie.empty)
        const atOnce = PrefixTrie.empty.add(networks)
        assert.strictEqual(atOnce.size, added.size)
        assert.deepStrictEqual([...atOnce.entries()], [...added.entries()])
        agrees(atOnce, withAll([], networks), networks.slice(0, 20))
      })
    )
  })
})

describe("PrefixTree", () => {
  it("has room in proportion to what it holds, however long its history, and is right after every move", () => {
    const networks = Array.from({ length: 300 }, (_, i): Cidr => ({
      ip: ipv4FromWord(Math.imul(i, 0x9e3779b1)),
      length: 32
    }))
    const all = adding(PrefixTree.empty(1), networks)
    const LONGEST_PATH = 33
    let tree = all
    for (let i = 0; i < 20_000; i++) {
      const network = networks[Math.imul(i, 7919) % networks.length]!
      const before = tree.has(network)
      tree = before ? removing(tree, [network]) : adding(tree, [network])
      assert.strictEqual(tree.has(network), !before)
      assert.isAtMost(tree.nodeCount, NODES_A_NETWORK_MAX * (tree.size + 1) + NODES_MIN + LONGEST_PATH)
      // Others are made of the same version again and again.
      assert.strictEqual(removing(all, [network]).size, networks.length - 1)
    }
    assert.deepStrictEqual([...adding(tree, networks).entries()], [...all.entries()])
    assert.isAtMost(all.nodeCount, NODES_A_NETWORK_MAX * all.size + NODES_MIN + LONGEST_PATH)
  })

  it("takes no room for what changes nothing", () => {
    const networks = ["10.0.0.0/8", "10.128.0.0/9", "10.1.0.0/16", "11.0.0.0/8"].map(network)
    const tree = adding(PrefixTree.empty(1), networks)
    const { nodeCount } = tree
    assert.strictEqual(adding(tree, networks), tree)
    assert.strictEqual(removing(tree, ["10.0.0.0/9", "10.1.0.0/17", "12.0.0.0/8"].map(network)), tree)
    assert.strictEqual(tree.nodeCount, nodeCount)
  })

  it("answers while it moves in slices, and the next change does not move it again", () => {
    const networks = Array.from({ length: 20_000 }, (_, i): Cidr => ({
      ip: ipv4FromWord(Math.imul(i, 0x9e3779b1)),
      length: 32
    }))
    const kept = networks.slice(0, 5000)
    const tree = removing(adding(PrefixTree.empty(1), networks), networks.slice(kept.length))
    const entries = [...tree.entries()]
    const before = tree.nodeCount
    let slices = 0
    for (const copied of tree.move()) {
      slices++
      assert.isBelow(copied, kept.length)
      assert.strictEqual(tree.nodeCount, before)
      for (const held of [kept[slices]!, kept.at(-1)!]) assert.isTrue(tree.has(held))
      assert.isFalse(tree.has(networks.at(-1)!))
    }
    assert.isAbove(slices, 1)
    assert.isBelow(tree.nodeCount, 2 * kept.length + 1)
    assert.deepStrictEqual([...tree.entries()], entries)
    const LONGEST_PATH = 33
    assert.isAtMost(adding(tree, [networks.at(-1)!]).nodeCount, 2 * kept.length + 1 + LONGEST_PATH)
    assert.deepStrictEqual([...tree.move()], [])
  })
})
