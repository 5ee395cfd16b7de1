/**
 * How many connections each listener has open, against its `max_connections`.
 *
 * A service of its own, because several data planes that share a listener have to share the count.
 */
import { Context, Layer } from "effect"

export class ConnectionQuota extends Context.Service<
  ConnectionQuota,
  {
    /** Counts one more connection on `listener`; false, and nothing counted, at `connectionsMax` (0: no limit). */
    take(listener: string, connectionsMax: number): boolean
    release(listener: string): void
  }
>()("mc-proxy/pipeline/ConnectionQuota") {
  static readonly layer: Layer.Layer<ConnectionQuota> = Layer.sync(ConnectionQuota, () => {
    const open = new Map<string, number>()
    return ConnectionQuota.of({
      take: (listener, connectionsMax) => {
        const count = open.get(listener) ?? 0
        if (connectionsMax > 0 && count >= connectionsMax) return false
        open.set(listener, count + 1)
        return true
      },
      release: (listener) => {
        const count = open.get(listener) ?? 0
        if (count > 1) open.set(listener, count - 1)
        else open.delete(listener)
      }
    })
  })
}
