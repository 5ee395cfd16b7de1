/** Whether the proxy is on its way out: mutations are refused from then on, and health checks fail. */
import { Context, Deferred, Effect, Layer } from "effect"

export class Drain extends Context.Service<
  Drain,
  {
    /** It begins; once is enough. */
    readonly begin: Effect.Effect<void>
    readonly began: boolean
    /** Completes when it has begun. */
    readonly awaitBegin: Effect.Effect<void>
  }
>()("mc-proxy/control/Drain") {
  static readonly layer: Layer.Layer<Drain> = Layer.sync(Drain, () => {
    const begun = Deferred.makeUnsafe<void>()
    let began = false
    return Drain.of({
      begin: Effect.sync(() => {
        began = true
        Deferred.doneUnsafe(begun, Effect.void)
      }),
      get began() {
        return began
      },
      awaitBegin: Deferred.await(begun)
    })
  })
}
