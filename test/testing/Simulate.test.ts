import { assert, describe, it } from "@effect/vitest"
import { type Context, Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { AccessLog, Certificates, ConnectionQuota, DescriptorBudget, GeoIp, RateLimiter } from "../../src/index.ts"
import { simulate } from "../../src/testing/simulator/Simulate.ts"
import { storyOf } from "../../src/testing/simulator/Story.ts"

/**
 * In the last two Node once wrote empty frames of a stream that was gone, without an end; in the one before them a client
 * was held against what another's backend had sent.
 */
const SEEDS = [...Array.from({ length: 20 }, (_, i) => i + 1), 60_629, 700_275, 802_037]

it("keeps its promises to clients and operators, whatever goes wrong", async () => {
  for (const seed of SEEDS) {
    const { violations } = await simulate(seed)
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

  it("is another for another seed", async () => {
    assert.notDeepEqual(storyOf(await simulate(1)), storyOf(await simulate(2)))
  })
})

describe("what a layer does wrong is found:", () => {
  const SEEDS_ASKED = 60

  const amended = <Id, Service extends object>(
    service: Context.Service<Id, Service>,
    amend: (own: Service) => Partial<Service>
  ) =>
    Layer.effect(
      service,
      Effect.map(service, (own) => ({ ...own, ...amend(own) }))
    )

  it.each([
    [
      "a rate limiter that admits everybody",
      amended(RateLimiter, () => ({ admit: () => Effect.succeed(true) })),
      /was admitted once more after \d+ times/
    ],
    [
      "a quota that nobody uses up",
      amended(ConnectionQuota, () => ({ take: () => true })),
      /was let in although :445 had \d+ already/
    ],
    [
      "an access log that tells everything twice",
      amended(AccessLog, (own) => ({
        connection: (entry) => {
          own.connection(entry)
          own.connection(entry)
        }
      })),
      /has ended twice/
    ],
    [
      "an access log that tells every request twice",
      amended(AccessLog, (own) => ({
        request: (entry) => {
          own.request(entry)
          own.request(entry)
        }
      })),
      /^request \S+ of client \d+ .* is logged more than once/
    ],
    [
      "certificates that are never there",
      amended(Certificates, (own) => ({
        retain: (certPath, keyPath) => ({ ...own.retain(certPath, keyPath), context: undefined })
      })),
      /\(web, .* ended as certificate_unavailable/
    ],
    [
      "a country for nobody",
      amended(GeoIp, () => ({ country: () => "" })),
      /ended as \w+, and may as (\w+, )*blocked_country/
    ],
    [
      "a budget of descriptors without end",
      amended(DescriptorBudget, (own) => ({
        reserve: () => own.reserve(),
        take: () => ({ takeBackend: () => true, releaseBackend: () => {}, release: () => {} })
      })),
      /the edge has \d+ sockets, with a budget of \d+/
    ]
  ])("%s", async (_, replace, expected) => {
    // Each shows in some seeds only.
    let found = false
    for (let seed = 1; seed <= SEEDS_ASKED && !found; seed++) {
      const { violations } = await simulate(seed, { replace })
      found = violations.some((violation) => expected.test(violation))
    }
    assert.isTrue(found)
  })
})
