import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { NONE } from "../../src/firewall/SlotList.ts"
import { SourceTable } from "../../src/firewall/SourceTable.ts"
import { parseIpAddress, type IpAddress } from "../../src/net/IpAddress.ts"
import { address, numberOf } from "./Networks.ts"

/** Without randomness all keys fall into one chain. */
const hashes = fc.constantFrom(
  () => 0,
  () => Math.random() * 2 ** 32
)

const keyOf = (ip: IpAddress): string => (ip.family === 4 ? ip.text : `${numberOf(ip) >> 64n}/64`)

describe("SourceTable", () => {
  it("has one key for a /64 and one for each IPv4 address", () => {
    const table = new SourceTable(4, () => 0)
    table.add(parseIpAddress("2001:db8:0:1::1")!, 3)
    table.add(parseIpAddress("1.2.3.4")!, 1)
    assert.strictEqual(table.find(parseIpAddress("2001:db8:0:1:ffff:ffff:ffff:ffff")!), 3)
    assert.strictEqual(table.find(parseIpAddress("2001:db8:0:2::1")!), NONE)
    assert.strictEqual(table.find(parseIpAddress("1.2.3.4")!), 1)
    assert.strictEqual(table.find(parseIpAddress("1.2.3.5")!), NONE)
  })

  it("does not take an IPv4 address for the /64 with the same words", () => {
    const table = new SourceTable(2, () => 0)
    table.add(parseIpAddress("1.2.3.4")!, 0)
    assert.strictEqual(table.find(parseIpAddress("102:304::1")!), NONE)
  })

  it("agrees with a map after any additions and removals", () => {
    const change = fc.record({ adds: fc.boolean(), ip: address, at: fc.nat(99) })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60, size: "max" }), hashes, (changes, random) => {
        const table = new SourceTable(changes.length || 1, random)
        const model = new Map<string, number>()
        for (const [slot, { adds, ip, at }] of changes.entries()) {
          const held = [...model.keys()][at % (model.size || 1)]
          if (adds && !model.has(keyOf(ip))) {
            table.add(ip, slot)
            model.set(keyOf(ip), slot)
          } else if (!adds && held !== undefined) {
            table.remove(model.get(held)!)
            model.delete(held)
          }
          for (const { ip } of changes) assert.strictEqual(table.find(ip), model.get(keyOf(ip)) ?? NONE)
        }
      })
    )
  })
})
