/**
 * How late this thread's event loop is: a timer that should fire every `INTERVAL_MS` notes by how much it did not.
 *
 * A sample, not a record: of stalls shorter than the interval it sees as many as it happens to meet, which is the share
 * of time that a connection would have met them too.
 */
import { Context, Effect, Layer } from "effect"
import { Network } from "../net/Network.ts"
import { DurationHistogram } from "../observe/Histogram.ts"

export class LoopLag extends Context.Service<LoopLag, { readonly late: DurationHistogram }>()(
  "mc-proxy/metrics/LoopLag"
) {
  static readonly layer: Layer.Layer<LoopLag, never, Network> = Layer.effect(
    LoopLag,
    Effect.gen(function* () {
      const network = yield* Network
      const late = new DurationHistogram(LAG_BUCKETS_MS)
      const measure = Effect.gen(function* () {
        const due = network.now() + INTERVAL_MS
        yield* Effect.sleep(INTERVAL_MS)
        late.observe(Math.max(0, network.now() - due))
      })
      yield* Effect.forkScoped(Effect.forever(measure))
      return { late }
    })
  )
}

/** Ten wake-ups a second cost nothing that shows, and meet most stalls that a person would notice. */
const INTERVAL_MS = 100

/** From what timers are late by anyway, to what ends connections. */
const LAG_BUCKETS_MS = [2, 5, 10, 25, 50, 100, 250, 500, 1000]
