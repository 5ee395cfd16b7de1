/** A process of a test's own: commits one rule after the other, and prints each revision that was acknowledged. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { writeSync } from "node:fs"
import { EMPTY, type Change } from "../../src/snapshot/Change.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store } from "../../src/store/Store.ts"

/** The rule of the `i`th commit. */
export const ruleOf = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`

const blocking = (value: string): Change => [{ _tag: "PutRules", rules: [{ type: "ip", value }] }]

const commitForever = Effect.fnUntraced(function* () {
  const store = yield* Store
  let { revision } = yield* store.load
  while (true) {
    revision = yield* store.commit(revision, [blocking(ruleOf(revision))])
    writeSync(1, `${revision}\n`)
  }
})

if (import.meta.main) {
  const file = process.argv[2]!
  const layer = SqliteStore.layer({ file, seed: EMPTY, beforeSeeding: Effect.void, onStored: () => Effect.void })
  await Effect.runPromise(Effect.provide(commitForever(), Layer.provide(layer, NodeServices.layer)))
}
