import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseCidr } from "../../src/snapshot/FirewallRule.ts"
import { buildMmdb } from "../firewall/MmdbBuilder.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { hello } from "./harness/Hello.ts"
import { type Proxy, startProxy } from "./harness/Proxy.ts"
import { assertRefused, type Told } from "./harness/Refusal.ts"
import { connect } from "./harness/Wire.ts"

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/geoip/${name}.mmdb`, import.meta.url))

/** A client at `ip`, by its PROXY header. It asks for a name that has no route, unless it is to be blocked before. */
const visit = Effect.fnUntraced(function* (proxy: Proxy, ip: string, told: Visit) {
  const sender = yield* connect(proxy.address)
  const [family, client] = ip.includes(":") ? ["TCP6", `[${ip}]:5000`] : ["TCP4", `${ip}:5000`]
  yield* sender.send(`PROXY ${family} ${ip} ${ip} 5000 443\r\n`)
  if (told.outcome === "no_route") yield* sender.send(hello("a.test"))
  yield* assertRefused(proxy, sender, { client, ...told })
})

type Visit = Partial<Told> & Pick<Told, "outcome">

const blocked = (country: string) => ({ outcome: "blocked_country", country, rule: `country ${country}` })
const passed = (country: string) => ({ outcome: "no_route", country, hostname: "a.test" })

it.live("blocks by country before the hello, after addresses and networks and before the rate is counted", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{ proxy_protocol: true }],
      firewall: {
        geoip_db: fixture("GeoIP2-Country-Test"),
        blocked_cidrs: ["81.2.69.160/31"],
        blocked_countries: ["GB", "JP"],
        rate_limit: 1,
        rate_window: "1h"
      }
    })
    yield* visit(proxy, "81.2.69.160", { outcome: "blocked_cidr", country: "GB", rule: "cidr 81.2.69.160/31" })
    for (let i = 0; i < 2; i++) yield* visit(proxy, "81.2.69.162", blocked("GB"))
    yield* visit(proxy, "2001:218::1", blocked("JP"))
    yield* visit(proxy, "216.160.83.56", passed("US"))
    yield* visit(proxy, "216.160.83.56", { outcome: "rate_limited", country: "US" })
    yield* visit(proxy, "10.1.2.3", passed(""))
  })
)

it.live("takes a new database at SIGHUP, and keeps the old one when the new one is broken", () =>
  Effect.gen(function* () {
    const file = join(yield* temporaryFolder, "country.mmdb")
    const replace = (bytes: Uint8Array) => {
      writeFileSync(`${file}.new`, bytes)
      renameSync(`${file}.new`, file)
    }
    const network = Result.getOrThrow(parseCidr("198.51.100.0/24"))
    const says = (code: string) => buildMmdb([[network, { country: { iso_code: code } }]])
    replace(says("DE"))
    const proxy = yield* startProxy({
      listeners: [{ proxy_protocol: true }],
      firewall: { geoip_db: file, blocked_countries: ["DE"] }
    })
    yield* visit(proxy, "198.51.100.7", blocked("DE"))

    replace(says("FR"))
    proxy.signal("SIGHUP")
    assert.include(yield* proxy.logged("reloaded"), { path: file })
    yield* visit(proxy, "198.51.100.7", passed("FR"))

    replace(readFileSync(fixture("MaxMind-DB-test-broken-search-tree-24")))
    proxy.signal("SIGHUP")
    const kept = yield* proxy.logged("kept the old file")
    assert.strictEqual(kept.level, "error")
    assert.include(JSON.stringify(kept), file)
    assert.notMatch(JSON.stringify(kept), / at .*:\d+:\d+/)
    yield* visit(proxy, "198.51.100.7", passed("FR"))
  })
)
