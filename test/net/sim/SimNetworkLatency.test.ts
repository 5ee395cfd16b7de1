import { Layer } from "effect"
import { SimNetwork } from "../../../src/net/sim/SimNetwork.ts"
import { networkSuite } from "../NetworkSuite.ts"
import { MOVING_OPTIONS, movingClock } from "./Options.ts"

const layer = SimNetwork.layer({
  seed: 1,
  link: { latencyMs: { min: 0, max: 3 }, segmentBytes: { min: 1, max: 50_000 } },
  acceptMs: { min: 0, max: 2 }
}).pipe(Layer.merge(movingClock))

networkSuite("a simulated network with latency", layer, MOVING_OPTIONS)
