/** Where listeners, routes and rules come from. Today the configuration file, read once. */
import { Context, Effect, Layer } from "effect"
import type { Snapshot } from "../snapshot/Snapshot.ts"

export class Store extends Context.Service<
  Store,
  {
    /** The state as it was last committed. */
    readonly load: Effect.Effect<Snapshot>
  }
>()("mc-proxy/store/Store") {
  /** The state that a configuration file names; it cannot change while the proxy runs. */
  static layerFile(state: Omit<Snapshot, "revision">): Layer.Layer<Store> {
    return Layer.succeed(Store, { load: Effect.succeed({ revision: 1, ...state }) })
  }
}
