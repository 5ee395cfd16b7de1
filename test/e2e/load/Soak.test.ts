import { assert, it } from "@effect/vitest"
import { Clock, Effect, Random } from "effect"
import { startProxy } from "../harness/Proxy.ts"
import { assertBytes, pair } from "./Accounts.ts"
import { BLOCKED_NETWORK, KINDS, startWorld, visit, type Visit } from "./MixedLoad.ts"

/** Long enough for thousands of clients in ever other company. */
const DURATION_MS = 20_000

const AT_ONCE = 50

it.live(
  "keeps its accounts over 20 seconds of random clients",
  () =>
    Effect.gen(function* () {
      const world = yield* startWorld
      const proxy = yield* startProxy({
        listeners: [{ routes: world.routes }],
        firewall: { blocked_cidrs: [BLOCKED_NETWORK] }
      })
      const until = (yield* Clock.currentTimeMillis) + DURATION_MS
      const visits: Array<Visit> = []
      let id = 0
      const visitor = Effect.gen(function* () {
        while ((yield* Clock.currentTimeMillis) < until) {
          visits.push(...(yield* visit(proxy.address, yield* Random.choice(KINDS), id++)))
        }
      })
      yield* Effect.replicateEffect(visitor, AT_ONCE, { concurrency: AT_ONCE, discard: true })

      assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
      const accounts = pair(visits, proxy.accessLines)
      yield* assertBytes(accounts, world.backend)
      for (const kind of KINDS)
        assert.isTrue(
          visits.some((visit) => visit.kind === kind),
          kind
        )
      console.info(`${visits.length} clients`)
    }).pipe(Random.withSeed("soak")),
  60_000
)
