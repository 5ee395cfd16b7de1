/** What the process is told from outside Effect: to stop, to read its files again, or that something has gone wrong. */
import { Context, Deferred, Effect, Layer, Queue } from "effect"

export class Signals extends Context.Service<
  Signals,
  {
    /** One value for each SIGINT or SIGTERM. */
    readonly stop: Queue.Dequeue<"SIGINT" | "SIGTERM">
    /** One value for each SIGHUP; those that come while one waits are one. */
    readonly reload: Queue.Dequeue<"SIGHUP">
    /** Dies of an exception that nobody has caught: the state of the process is unknown from then on. */
    readonly defect: Effect.Effect<never>
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
      const defect = yield* Deferred.make<never>()
      const onDefect = (error: unknown) => {
        Deferred.doneUnsafe(defect, Effect.die(error))
      }
      const onReload = () => {
        Queue.offerUnsafe(reload, "SIGHUP")
      }
      // By itself Node opens its debugger on SIGUSR1, which log rotation written for other servers sends.
      const onDebug = () => {}
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.on("SIGINT", onStop).on("SIGTERM", onStop).on("SIGHUP", onReload).on("SIGUSR1", onDebug)
          process.on("uncaughtException", onDefect).on("unhandledRejection", onDefect)
        }),
        () =>
          Effect.sync(() => {
            process.off("SIGINT", onStop).off("SIGTERM", onStop).off("SIGHUP", onReload).off("SIGUSR1", onDebug)
            process.off("uncaughtException", onDefect).off("unhandledRejection", onDefect)
          })
      )
      return { stop, reload, defect: Deferred.await(defect) }
    })
  )
}

/** The first starts draining, the second ends it; more say nothing new. */
const STOPS_MAX = 2
