/** What the network suite has to know of a simulated network. */
import { Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { parseIpAddress } from "../../../src/net/IpAddress.ts"
import { SimNetwork } from "../../../src/net/sim/SimNetwork.ts"
import type { SuiteOptions } from "../suite/Fixture.ts"

/** The suite knows only of a `Network`; the layer that it is given here has this too. */
const simNetwork = Effect.map(Effect.serviceOption(SimNetwork), Option.getOrThrow)

/** Time stands still but for what the suite lets pass. */
export const OPTIONS: SuiteOptions = {
  advance: (ms) => TestClock.adjust(ms),
  turn: Effect.yieldNow,
  openSockets: Effect.map(simNetwork, (network) => () => network.openSockets()),
  silentAddress: Effect.map(simNetwork, (network) => {
    const address = { ip: parseIpAddress("192.0.2.1")!, port: 443 }
    network.setFate(address, "silent")
    return address
  }),
  endAfterReset: "ConnectionReset"
}

/** Time passes by itself, a millisecond whenever everybody has had a turn, as it does on a real network. */
export const MOVING_OPTIONS: SuiteOptions = { ...OPTIONS, advance: () => Effect.void, turn: Effect.sleep(1) }

export const movingClock: Layer.Layer<never> = Layer.effectDiscard(
  Effect.forkScoped(Effect.forever(TestClock.adjust(1)))
)
