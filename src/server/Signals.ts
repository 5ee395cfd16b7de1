/** What the operating system tells the process: to stop, or to read its files again. */
import { Context, Effect, Layer, Queue } from "effect"

export class Signals extends Context.Service<
  Signals,
  {
    /** One value for each SIGINT or SIGTERM. */
    readonly stop: Queue.Dequeue<"SIGINT" | "SIGTERM">
    /** One value for each SIGHUP; those that come while one waits are one. */
    readonly reload: Queue.Dequeue<"SIGHUP">
  }
>()("mc-proxy/server/Signals") {
  /** The process's own signals, for as long as the layer lives. */
  static readonly layer: Layer.Layer<Signals> = Layer.effect(
    Signals,
    Effect.gen(function* () {
      const stop = yield* Queue.sliding<"SIGINT" | "SIGTERM">(STOPS_MAX)
      const reload = yield* Queue.sliding<"SIGHUP">(1)
      const onStop = (signal: NodeJS.Signals) => {
        Queue.offerUnsafe(stop, signal === "SIGINT" ? "SIGINT" : "SIGTERM")
      }
      const onReload = () => {
        Queue.offerUnsafe(reload, "SIGHUP")
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.on("SIGINT", onStop).on("SIGTERM", onStop).on("SIGHUP", onReload)
        }),
        () =>
          Effect.sync(() => {
            process.off("SIGINT", onStop).off("SIGTERM", onStop).off("SIGHUP", onReload)
          })
      )
      return { stop, reload }
    })
  )
}

/** The first starts draining, the second ends it; more say nothing new. */
const STOPS_MAX = 2
