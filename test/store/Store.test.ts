import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Change } from "../../src/snapshot/Change.ts"
import { Conflict, Store, WriteFailed } from "../../src/store/Store.ts"
import { l4, listenerOf } from "./RandomState.ts"

const state = { listeners: [listenerOf(":443")], firewallRules: [{ type: "ip", value: "192.0.2.1" }] as const }

const putRoute = (listener: string): Change => [{ _tag: "PutRoute", listener, route: l4("a.test") }]

describe("a store in memory", () => {
  it.effect("gives its state as the first revision, and each change's as the next", () =>
    Effect.gen(function* () {
      const store = yield* Store
      assert.deepStrictEqual(yield* store.load, { revision: 1, ...state })
      assert.strictEqual(yield* store.commit(1, [putRoute(":443")]), 2)
      const listeners = [listenerOf(":443", l4("a.test"))]
      assert.deepStrictEqual(yield* store.load, { revision: 2, ...state, listeners })
      const blocking: Change = [{ _tag: "PutRules", rules: [{ type: "ip", value: "192.0.2.2" }] }]
      const clearing: Change = [{ _tag: "RemoveRules", rules: state.firewallRules }]
      assert.strictEqual(yield* store.commit(2, [blocking, clearing]), 4)
      const firewallRules = [{ type: "ip", value: "192.0.2.2" }] as const
      assert.deepStrictEqual(yield* store.load, { revision: 4, listeners, firewallRules })
    }).pipe(Effect.provide(Store.layerMemory(state)))
  )

  it.effect("changes nothing when another revision is expected, or the change is refused", () =>
    Effect.gen(function* () {
      const store = yield* Store
      assert.deepStrictEqual(
        yield* Effect.flip(store.commit(2, [putRoute(":443")])),
        new Conflict({ expected: 2, actual: 1 })
      )
      assert.deepStrictEqual(
        yield* Effect.flip(store.commit(1, [putRoute(":443"), putRoute(":80")])),
        new WriteFailed({ problem: "there is no listener :80", certain: true })
      )
      assert.deepStrictEqual(yield* store.load, { revision: 1, ...state })
    }).pipe(Effect.provide(Store.layerMemory(state)))
  )
})
