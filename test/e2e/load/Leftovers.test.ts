import { assert, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { type Proxy, type ProxyConfig, startProxy } from "../harness/Proxy.ts"
import { assertBytes, pair } from "./Accounts.ts"
import { BLOCKED_NETWORK, KINDS, startWorld, visit, type World } from "./MixedLoad.ts"
import { awaitDescriptors, settledDescriptorsOf } from "./ProcessState.ts"

/** As many at once as keep every stage of the pipeline busy. */
const AT_ONCE = 50

it.live(
  "has no descriptor left after 1,000 mixed connections, and one access line of each",
  () =>
    Effect.gen(function* () {
      const world = yield* startWorld
      const proxy = yield* startProxy(configOf(world))
      const { pid } = proxy.program

      const warmUp = yield* visitMany(proxy, 0, 100)
      yield* proxy.access(() => proxy.accessLines.length >= warmUp.length)
      const before = yield* settledDescriptorsOf(pid)
      const visits = [...warmUp, ...(yield* visitMany(proxy, 100, 1000))]
      yield* proxy.access(() => proxy.accessLines.length >= visits.length)
      yield* awaitDescriptors(pid, before)

      const accounts = pair(visits, proxy.accessLines)
      yield* assertBytes(accounts, world.backend)
      assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
      assert.strictEqual(proxy.accessLines.length, accounts.length)
    }).pipe(Random.withSeed("leftovers")),
  60_000
)

const configOf = (world: World): ProxyConfig => ({
  listeners: [{ routes: world.routes }],
  firewall: { blocked_cidrs: [BLOCKED_NETWORK] }
})

/** Visits of each kind in turn, ids from `from` on; and what they made of it. */
const visitMany = Effect.fnUntraced(function* (proxy: Proxy, from: number, count: number) {
  const visits = yield* Effect.forEach(
    Array.from({ length: count }, (_, i) => from + i),
    (id) => visit(proxy.address, KINDS[id % KINDS.length]!, id),
    { concurrency: AT_ONCE }
  )
  return visits.flat()
})
