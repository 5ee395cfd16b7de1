import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Store } from "../../src/store/Store.ts"
import { listenerAt } from "../server/Plane.ts"

const state = { listeners: [listenerAt(":443")], firewallRules: [{ type: "ip", value: "192.0.2.1" }] as const }

it.effect("gives a file's state as the first revision", () =>
  Effect.gen(function* () {
    const store = yield* Store
    assert.deepStrictEqual(yield* store.load, { revision: 1, ...state })
  }).pipe(Effect.provide(Store.layerFile(state)))
)
