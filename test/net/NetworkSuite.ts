/**
 * What connections, listening, dialling and relaying do on every network, as one suite that each of them runs.
 *
 * After each case the sockets it has opened must be gone again. A case that waits in vain fails after `CASE_MS` of the
 * machine's time, whatever clock the network is on.
 */
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Layer } from "effect"
import { TestClock } from "effect/testing"
import type { Network } from "../../src/net/Network.ts"
import { dialCases } from "./suite/DialCases.ts"
import { until, type Case, type SuiteOptions } from "./suite/Fixture.ts"
import { listenCases } from "./suite/ListenCases.ts"
import { peekCases } from "./suite/PeekCases.ts"
import { relayCases } from "./suite/RelayCases.ts"
import { relayEndCases } from "./suite/RelayEndCases.ts"
import { relayResetCases } from "./suite/RelayResetCases.ts"
import { streamCases } from "./suite/StreamCases.ts"
import { writeCases } from "./suite/WriteCases.ts"

export const networkSuite = (name: string, layer: Layer.Layer<Network>, options: SuiteOptions): void => {
  const register: Case = (title, body) =>
    it.effect(title, () =>
      Effect.gen(function* () {
        const openSockets = yield* options.openSockets
        const before = openSockets()
        yield* Effect.scoped(body)
        yield* until(options, () => openSockets() <= before)
      }).pipe(Effect.raceFirst(outOfTime), Effect.provide(layer))
    )
  for (const [group, cases] of Object.entries(GROUPS)) describe(`${name}: ${group}`, () => cases(register, options))
}

const GROUPS = {
  peeking: peekCases,
  writing: writeCases,
  relaying: relayCases,
  "the end of a relay": relayEndCases,
  "a reset under a relay": relayResetCases,
  dialling: dialCases,
  listening: listenCases,
  "streams and TLS": streamCases
}

const CASE_MS = 20_000

const outOfTime = TestClock.withLive(Effect.sleep(CASE_MS)).pipe(
  Effect.andThen(Effect.die("The case waited in vain, or its sockets did not close."))
)
