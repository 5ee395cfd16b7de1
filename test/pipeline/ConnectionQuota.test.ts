import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { ConnectionQuota } from "../../src/pipeline/ConnectionQuota.ts"

it.effect("counts each listener for itself, as a naive count does", () =>
  Effect.gen(function* () {
    const attempts = fc.array(
      fc.record({ listener: fc.constantFrom(":443", ":8443"), connectionsMax: fc.nat(3), release: fc.boolean() })
    )
    const build = Effect.provide(ConnectionQuota, ConnectionQuota.layer)
    const run = Effect.runSyncWith(yield* Effect.context<never>())
    fc.assert(
      fc.property(attempts, (all) => {
        const quota = run(build)
        const open: Record<string, number> = { ":443": 0, ":8443": 0 }
        for (const { listener, connectionsMax, release } of all) {
          if (release && open[listener]! > 0) {
            quota.release(listener)
            open[listener]!--
          } else {
            const room = connectionsMax === 0 || open[listener]! < connectionsMax
            assert.strictEqual(quota.take(listener, connectionsMax), room)
            if (room) open[listener]!++
          }
        }
      })
    )
  })
)
