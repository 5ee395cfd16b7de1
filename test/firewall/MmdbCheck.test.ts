import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import fc from "fast-check"
import { readFileSync } from "node:fs"
import { openMmdb } from "../../src/firewall/MmdbCheck.ts"
import { ipv4FromWord, ipv6FromWords, type IpAddress } from "../../src/net/IpAddress.ts"
import { parseCidr, type Cidr } from "../../src/snapshot/FirewallRule.ts"
import {
  assemble,
  buildMmdb,
  encode,
  Encoded,
  encodeNode,
  pointer,
  sized,
  type MmdbOptions,
  type MmdbValue
} from "./MmdbBuilder.ts"
import { address, cidr, edgesOf, isSameNetwork, narrowest } from "./Networks.ts"

const network = (text: string): Cidr => Result.getOrThrow(parseCidr(text))

const openAtOnce = (bytes: Buffer, stepsMax?: number) => {
  const slices = openMmdb(bytes, {}, stepsMax)
  let slice = slices.next()
  while (slice.done !== true) slice = slices.next()
  return slice.value
}

/** What is wrong with it, or "" when it opens. */
const problemOf = (bytes: Buffer, stepsMax?: number): string =>
  Result.match(openAtOnce(bytes, stepsMax), { onFailure: (problem) => problem, onSuccess: () => "" })

const NO_DATABASE = "is no MaxMind DB, or not all of one: it does not end in metadata"

/** A database whose records are this data section from its start; every address leads there. */
const withData = (data: Buffer): Buffer =>
  assemble(encodeNode(17, 17, 24), data, { node_count: 1, record_size: 24, ip_version: 4 })

const german = { country_code: "DE" }

/** So that there always is a country code. */
const known = [network("3fff::/20"), "DE"] as const

/** A small database of every kind of node: IPv4 inside IPv6, nested, sharing a pointer. */
const small = buildMmdb([
  [network("10.0.0.0/8"), { country: { iso_code: "DE", geoname_id: 1 } }],
  [network("10.1.0.0/16"), german],
  [network("2001:db8::/32"), { country: pointer(1 + 1 + 7) }]
])

const reachable: ReadonlyArray<IpAddress> = [
  ...["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "0.0.0.0/0", "::/0", "10.1.0.0/17"].flatMap((text) =>
    edgesOf(network(text))
  )
]

/** IPv6 of the first 2^32 addresses, where a database has IPv4. */
const isInIpv4 = ({ family, w0, w1, w2 }: IpAddress): boolean => family === 6 && w0 === 0 && w1 === 0 && w2 === 0

const inIpv6 = (ip: IpAddress): IpAddress => (ip.family === 6 ? ip : { ...ip, family: 6, w0: 0, w3: ip.w0 })

const fixture = (name: string): Buffer => readFileSync(new URL(`../fixtures/geoip/${name}.mmdb`, import.meta.url))

/** Refused, or no look-up throws. */
const isHarmless = (bytes: Buffer, addresses: ReadonlyArray<IpAddress>): boolean => {
  const opened = openAtOnce(bytes)
  if (Result.isSuccess(opened)) for (const { text } of addresses) opened.success.get(text)
  return Result.isSuccess(opened)
}

describe("openMmdb", () => {
  it("opens what an honest writer writes, in each size of node", () => {
    const anyNetworks = fc.array(fc.tuple(cidr, fc.constantFrom("DE", "FR", "US")), { minLength: 1, maxLength: 20 })
    const options = fc.record({ recordBits: fc.constantFrom(24, 28, 32), ipVersion: fc.constant(6) } as const)
    fc.assert(
      fc.property(anyNetworks, options, fc.array(address), (networks, options, addresses) => {
        const distinct = [known, ...networks].filter(
          ([held], i, all) => !isInIpv4(held.ip) && !all.slice(0, i).some(([other]) => isSameNetwork(other, held))
        )
        const records = distinct.map(([held, code]) => [held, { country_code: code }] as const)
        const reader = Result.getOrThrow(openAtOnce(buildMmdb(records, options)))
        for (const ip of [...addresses, ...distinct.flatMap(([held]) => edgesOf(held))]) {
          // IPv4 is ::/96 of the tree, so it is also inside wider IPv6 networks.
          const expected = narrowest(distinct, ip) ?? narrowest(distinct, inIpv6(ip))
          if (!isInIpv4(ip)) assert.strictEqual(reader.get(ip.text)?.country_code, expected?.[1], ip.text)
        }
      })
    )
  })

  it("opens an IPv4 database", () => {
    const bytes = buildMmdb([[network("10.0.0.0/8"), german]], { ipVersion: 4 })
    assert.strictEqual(Result.getOrThrow(openAtOnce(bytes)).get("10.1.2.3")?.country_code, "DE")
  })

  it("opens a tree of exactly as many levels as an address has bits, and one that shares a subtree", () => {
    assert.strictEqual(problemOf(buildMmdb([[network("10.0.0.1/32"), german]], { ipVersion: 4 })), "")
    assert.strictEqual(problemOf(buildMmdb([[network("2001:db8::1/128"), german]])), "")
    const shared = Buffer.concat([encodeNode(1, 1, 24), encodeNode(2, 18, 24)])
    assert.strictEqual(
      problemOf(assemble(shared, encode(german), { node_count: 2, record_size: 24, ip_version: 4 })),
      ""
    )
  })

  it("reads the halves of a 28-bit node, upper bits included", () => {
    const far = 2 ** 24 + 5
    const data = Buffer.alloc(far + 20)
    encode(german).copy(data)
    encode({ country_code: "FR" }).copy(data, far)
    const metadata = { node_count: 1, record_size: 28, ip_version: 4 }
    const reader = Result.getOrThrow(openAtOnce(assemble(encodeNode(17, 17 + far, 28), data, metadata)))
    assert.strictEqual(reader.get("1.0.0.0")?.country_code, "DE")
    assert.strictEqual(reader.get("200.0.0.0")?.country_code, "FR")
  })

  it("refuses a tree that leads to before or behind its data, or one level too deep", () => {
    const data = encode(german)
    const leadingTo = (record: number) =>
      problemOf(assemble(encodeNode(17, record, 24), data, { node_count: 1, record_size: 24, ip_version: 4 }))
    const outside = "has a search tree that points to outside its data"
    assert.strictEqual(leadingTo(1), "")
    assert.strictEqual(leadingTo(16), outside)
    assert.strictEqual(leadingTo(17), "")
    assert.strictEqual(leadingTo(17 + data.length), outside)

    const asIpv4 = (text: string) => problemOf(buildMmdb([[network(text), german]], { metadata: { ip_version: 4 } }))
    assert.strictEqual(asIpv4("2001:db8::/32"), "")
    assert.strictEqual(asIpv4("2001:db8::/33"), "has a search tree deeper than an address has bits")
  })

  it.each([
    ["GeoIP2-Country-Test", ""],
    ["GeoLite2-Country-Test", ""],
    ["MaxMind-DB-test-broken-pointers-24", "has a pointer to outside its data"],
    ["MaxMind-DB-test-broken-search-tree-24", "has a search tree that leads back into itself"],
    ["cyclic-data-structure", "ends inside a value, in its metadata"],
    ["invalid-string-length", "ends inside a value, in its metadata"],
    ["libmaxminddb-corrupt-search-tree", "has no country codes, neither country.iso_code nor country_code"],
    ["libmaxminddb-deep-nesting", "nests values more than 32 deep, or without end"],
    ["libmaxminddb-metadata-marker-only", NO_DATABASE]
  ])("says of %s: %s", (name, problem) => {
    assert.strictEqual(problemOf(fixture(name)), problem)
  })

  it("refuses what is no database at all", () => {
    assert.strictEqual(problemOf(Buffer.alloc(0)), NO_DATABASE)
    assert.strictEqual(problemOf(Buffer.from("network,country\n10.0.0.0/8,DE\n")), NO_DATABASE)
  })

  it.each<readonly [string, NonNullable<MmdbOptions["metadata"]>, string]>([
    ["format version", { binary_format_major_version: 3 }, "is not in version 2 of the MaxMind DB format"],
    ["IP version", { ip_version: 5 }, "is for an IP version other than 4 and 6"],
    ["IPv4 for IPv6", { ip_version: 4 }, "has a search tree deeper than an address has bits"],
    ["no build time", { build_epoch: undefined }, "does not say when it was built"],
    ["no nodes", { node_count: 0 }, "has no search tree"],
    ["nodes in words", { node_count: "300" }, "has no search tree"],
    ["a node too many", { node_count: 127 }, "has no data where its metadata tell that the search tree ends"],
    ["a node too few", { node_count: 125 }, "has no data where its metadata tell that the search tree ends"],
    ["many too many nodes", { node_count: 2 ** 32 - 1 }, "is shorter than the search tree that its metadata tell of"],
    ["smaller nodes", { record_size: 24 }, "has no data where its metadata tell that the search tree ends"],
    ["larger nodes", { record_size: 32 }, "is shorter than the search tree that its metadata tell of"],
    ["odd nodes", { record_size: 20 }, "cannot be opened: Unsupported record size"],
    ["no text for a key", { x: new Encoded(0xe1, 0xa1, 1, 0xa1, 1) }, "has a map key that is no text, in its metadata"]
  ])("refuses metadata that lie: %s", (_name, metadata, problem) => {
    const networks = [[network("2001:db8::/126"), german]] as const
    assert.strictEqual(problemOf(buildMmdb(networks, { recordBits: 28 })), "")
    assert.strictEqual(problemOf(buildMmdb(networks, { recordBits: 28, metadata })), problem)
  })

  it("refuses records that would take long to decode, or never end", () => {
    const copies = (target: number) =>
      Buffer.concat([
        sized(7, 8),
        ...Array.from({ length: 8 }, (_, i) => Buffer.concat([encode(`${i}`), pointer(target).bytes]))
      ])
    const levels = Array.from({ length: 10 }, (_, i) => copies((i + 1) * copies(0).length))
    const bomb = Buffer.concat([...levels, encode(german)])
    assert.strictEqual(problemOf(withData(bomb)), "has a record of more than 65536 bytes")
    assert.strictEqual(problemOf(withData(pointer(0).bytes)), "nests values more than 32 deep, or without end")
  })

  it("accepts what is just within its limits, and nothing beyond", () => {
    const nested = (depth: number): MmdbValue => (depth === 0 ? "DE" : { country_code: nested(depth - 1) })
    const noCodes = "has no country codes, neither country.iso_code nor country_code"
    assert.strictEqual(problemOf(withData(encode(nested(32)))), noCodes)
    assert.strictEqual(problemOf(withData(encode(nested(33)))), "nests values more than 32 deep, or without end")

    assert.strictEqual(problemOf(withData(encode("x".repeat(65_535)))), noCodes)
    assert.strictEqual(problemOf(withData(encode("x".repeat(65_536)))), "has a record of more than 65536 bytes")

    const metadataBytes = small.length - small.lastIndexOf(Buffer.from("\xab\xcd\xefMaxMind.com", "latin1"))
    const padded = (bytes: number) => Buffer.concat([small, Buffer.alloc(bytes - metadataBytes)])
    assert.strictEqual(problemOf(padded(131_072)), "")
    assert.strictEqual(problemOf(padded(131_073)), NO_DATABASE)

    // One node takes three steps, its record three more.
    const oneNode = withData(encode(german))
    assert.strictEqual(problemOf(oneNode, 6), "")
    assert.strictEqual(problemOf(oneNode, 5), "takes too long to check")
  })

  it("finds country codes where either writer puts them, behind pointers too, and nowhere else", () => {
    const none = "has no country codes, neither country.iso_code nor country_code"
    const problemWith = (record: Parameters<typeof encode>[0]) => problemOf(withData(encode(record)))
    assert.strictEqual(problemWith({ country: { iso_code: "DE" } }), "")
    assert.strictEqual(problemWith({ country_code: "DE" }), "")
    assert.strictEqual(problemOf(small), "")
    const byPointer = Buffer.concat([sized(7, 1), pointer(100).bytes, pointer(113).bytes])
    const parts = Buffer.concat([byPointer, Buffer.alloc(100 - byPointer.length), encode("country_code"), encode("DE")])
    assert.strictEqual(problemOf(withData(parts)), "")
    assert.strictEqual(problemWith({ registered_country: { iso_code: "DE" } }), none)
    assert.strictEqual(problemWith({ country: { country_code: "DE", names: { iso_code: "DE" } } }), none)
    assert.strictEqual(problemWith({ country_code: "de" }), none)
    assert.strictEqual(problemWith({ country_code: "DEU" }), none)
    assert.strictEqual(problemWith("DE"), none)
  })

  it("refuses every truncation", () => {
    for (let length = 0; length < small.length; length++)
      assert.notStrictEqual(problemOf(small.subarray(0, length)), "")
    const good = fixture("GeoIP2-Country-Test")
    fc.assert(fc.property(fc.nat(good.length - 1), (length) => problemOf(good.subarray(0, length)) !== ""))
  })

  it("leaves nothing in a damaged database that could make a look-up throw", () => {
    const damage = fc.array(fc.tuple(fc.nat(small.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    let opened = 0
    fc.assert(
      fc.property(damage, (changes) => {
        const bytes = Buffer.from(small)
        for (const [at, byte] of changes) bytes[at] = byte
        if (isHarmless(bytes, reachable)) opened++
      }),
      { numRuns: 3000 }
    )
    assert.isAbove(opened, 100)
  })

  it("leaves nothing in random data that could make a look-up throw", () => {
    // Control bytes of every type, with sizes that mostly fit.
    const byte = fc.oneof(fc.nat(255), fc.nat(4), fc.constantFrom(0x20, 0x28, 0x30, 0x38, 0x41, 0xe1, 0xe0, 0xc1))
    const code = encode(german)
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 60 }), (random) => {
        const data = Buffer.concat([
          sized(7, 2),
          encode("country_code"),
          encode("DE"),
          encode("x"),
          Buffer.from(random),
          code
        ])
        isHarmless(withData(data), [ipv4FromWord(0), ipv4FromWord(-1), ipv6FromWords(1, 2, 3, 4)])
      }),
      { numRuns: 3000 }
    )
  })
})
