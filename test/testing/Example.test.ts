// The worked example of docs/testing.md, run as it stands there.
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Layer, Result } from "effect"
import * as fc from "fast-check"
import { parseHostname, parseIpAddress, RateLimiter, type Outcome, type State } from "../../src/index.ts"
import {
  serveEcho,
  SimNetwork,
  SimProxy,
  SimRuntime,
  SimStore,
  visit,
  type SimProxyOptions
} from "../../src/testing.ts"

const PROXY = { ip: parseIpAddress("10.0.0.1")!, port: 443 }
const BACKEND = { ip: parseIpAddress("10.0.0.2")!, port: 8443 }

/** Our own configuration: the office may come in, and nobody else of 10.0.0.0/8. */
const state: State = {
  listeners: [
    {
      addr: ":443",
      proxyProtocol: false,
      trustedProxies: [],
      maxConnections: 0,
      routes: [
        {
          mode: "l4",
          hostname: Result.getOrThrow(parseHostname("git.example.net")),
          backend: "10.0.0.2:8443",
          sendProxyProtocol: false
        }
      ]
    }
  ],
  firewallRules: [
    { type: "cidr", value: "10.0.0.0/9" },
    { type: "cidr", value: "10.192.0.0/10" }
  ]
}

/** What becomes of clients that come from these addresses, one after the other. */
const outcomesOf = (ips: ReadonlyArray<string>, options: Partial<SimProxyOptions> = {}): ReadonlyArray<Outcome> => {
  const outcomes: Array<Outcome> = []
  const proxy = SimProxy.layer({
    disk: new SimStore(state),
    onConnection: ({ outcome }) => void outcomes.push(outcome),
    ...options
  })
  const program = Effect.gen(function* () {
    yield* serveEcho(BACKEND)
    for (const ip of ips) yield* visit({ to: PROXY, from: parseIpAddress(ip)!, hostname: "git.example.net" })
  }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(proxy, SimNetwork.layer({ seed: 1, ips: [PROXY.ip] }))))
  const exit = new SimRuntime({ seed: 1 }).run(program)
  if (Exit.isFailure(exit)) throw new Error(String(exit.cause))
  return outcomes
}

it("lets the office in, and nobody else of 10.0.0.0/8", () => {
  const isOffice = ([a, b]: ReadonlyArray<number>) => a === 10 && b! >= 128 && b! < 192
  const isOurs = ([a]: ReadonlyArray<number>) => a === 10
  const octet = fc.nat({ max: 255 })
  const address = fc.oneof(
    fc.tuple(fc.constant(10), octet, octet, octet),
    fc.tuple(fc.integer({ min: 1, max: 223 }), octet, octet, octet)
  )
  fc.assert(
    fc.property(address, (octets) => {
      const blocked = isOurs(octets) && !isOffice(octets)
      assert.deepStrictEqual(outcomesOf([octets.join(".")]), [blocked ? "blocked_cidr" : "done"])
    })
  )
})

/** A limiter of our own: two connections of an address, and never another. */
const twoForEver = Layer.sync(RateLimiter, () => {
  const seen = new Map<string, number>()
  const countOf = (text: string) => seen.get(text) ?? 0
  return {
    admit: ({ text }) => Effect.sync(() => countOf(text) < 2 && seen.set(text, countOf(text) + 1).size > 0),
    wouldAdmit: ({ text }) => Effect.sync(() => countOf(text) < 2),
    forgotten: Effect.succeed(0)
  }
})

it("asks a limiter of our own, and only for those whom no rule blocks", () => {
  const ips = ["192.0.2.1", "10.0.0.9", "10.0.0.9", "10.0.0.9", "192.0.2.1", "192.0.2.1", "192.0.2.2"]
  assert.deepStrictEqual(outcomesOf(ips, { replace: twoForEver }), [
    "done",
    "blocked_cidr",
    "blocked_cidr",
    "blocked_cidr",
    "done",
    "rate_limited",
    "done"
  ])
})
