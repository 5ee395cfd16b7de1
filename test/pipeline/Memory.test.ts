import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assertServing, hello, makeWorld } from "./World.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** What a `WeakRef` was asked for lives until the current job is over. */
const nextJob = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

it.effect("keeps nothing that a connection was decided by while it is relayed", () =>
  Effect.gen(function* () {
    // Neither is empty: what is empty is one object for all.
    const world = yield* makeWorld({
      rules: [{ type: "ip", value: "192.0.2.66" }],
      listener: { trustedProxies: ["192.0.2.0/24"] }
    })
    const connected = world.connect(hello("git.example.net"))
    world.answerDial()
    const decidedBy = world.weakState()
    world.setRules([])

    yield* nextJob
    collectGarbage()
    assertServing(world, connected)
    const kept = decidedBy.filter(([, ref]) => ref.deref() !== undefined).map(([what]) => what)
    assert.deepStrictEqual(kept, [])
  })
)
