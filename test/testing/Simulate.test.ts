import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { RateLimiter } from "../../src/index.ts"
import { simulate } from "../../src/testing/simulator/Simulate.ts"
import { storyOf } from "../../src/testing/simulator/Story.ts"

const SEEDS = Array.from({ length: 20 }, (_, i) => i + 1)

it("keeps its promises to clients and operators, whatever goes wrong", () => {
  for (const seed of SEEDS) {
    const { violations } = simulate(seed)
    assert.deepStrictEqual(violations, [], `npm run sim -- --seed ${seed}`)
  }
}, 120_000)

describe("a trace", () => {
  const SEED = 7
  const SCRIPT = new URL("../../scripts/sim.ts", import.meta.url).pathname

  /** What a process of its own says of the seed. */
  const digest = Effect.callback<string>((resume) => {
    const child = spawn(process.execPath, [SCRIPT, "--seed", String(SEED), "--seeds", "3", "--digest"])
    let told = ""
    child.stdout.on("data", (bytes: Buffer) => void (told += bytes.toString()))
    child.on("close", () => resume(Effect.succeed(told)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

  /** Takes a core while the other runs. */
  const load = Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, ["-e", "while (true);"])),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

  it.live("is the same in another process, and under load", () =>
    Effect.gen(function* () {
      const quiet = yield* digest
      yield* load
      yield* load
      const busy = yield* digest
      assert.match(quiet, /^7 [0-9a-f]{64}\n8 [0-9a-f]{64}\n9 [0-9a-f]{64}\n$/)
      assert.strictEqual(busy, quiet)
    })
  )

  it("is another for another seed", () => {
    assert.notDeepEqual(storyOf(simulate(1)), storyOf(simulate(2)))
  })
})

it("finds what a layer of one's own does wrong", () => {
  /** Admits everybody, and forgets the rate limit. */
  const generous = Layer.effect(
    RateLimiter,
    Effect.map(RateLimiter, (limiter) => ({ ...limiter, admit: () => Effect.succeed(true) }))
  )
  const found = SEEDS.slice(0, 10).flatMap((seed) => simulate(seed, { replace: generous }).violations)
  assert.isTrue(found.some((violation) => violation.includes("was admitted once more")))
})
