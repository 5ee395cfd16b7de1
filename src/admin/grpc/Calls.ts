/**
 * Runs the operations that gRPC handlers ask for: a fiber a call, interrupted when it is cancelled (its caller goes, or
 * its deadline passes) and when the scope closes. Streams are pulled only as the client takes, and end when the server
 * closes.
 *
 * What an operation fails with becomes its gRPC status; a defect is logged, and told in general words.
 */
import { ConnectError } from "@connectrpc/connect"
import { Cause, Effect, Exit, FiberSet, Result, Schema, type Scope, Stream } from "effect"
import { AdminError, type Unavailable } from "../AdminError.ts"
import { logDefect } from "../OperationGuard.ts"
import { toConnectError } from "./Codes.ts"

export interface Calls {
  readonly start: <A>(operation: string, answer: Effect.Effect<A, AdminError>, settle: Settle<A>) => Cancel
  readonly stream: <A>(
    operation: string,
    items: Stream.Stream<A, AdminError>,
    signal: AbortSignal
  ) => AsyncGenerator<A, void, undefined>
}

/** Is told once how a call has ended, which may be before it is known how to cancel it. */
export type Settle<A> = (result: Result.Result<A, ConnectError>) => void

/** Ends a call for a reason, which it is settled with unless it has ended. */
export type Cancel = (reason: ConnectError) => void

/** `closing` fails when the server closes. */
export const make = Effect.fnUntraced(function* (
  closing: Effect.Effect<never, Unavailable>
): Effect.fn.Return<Calls, never, Scope.Scope> {
  const fibers = yield* FiberSet.make()
  const context = yield* Effect.context()
  const log = Effect.runPromiseWith(context)

  const statusOf = async (operation: string, error: unknown): Promise<ConnectError> =>
    toConnectError(isAdminError(error) ? error : await log(logDefect(operation, error)))

  return {
    start: <A>(operation: string, answer: Effect.Effect<A, AdminError>, settle: Settle<A>): Cancel => {
      let cancelled: ConnectError | undefined
      // A handler brings all its services along, and to merge two contexts costs more than to have none.
      const fiber = Effect.runFork(answer)
      FiberSet.addUnsafe(fibers, fiber)
      fiber.addObserver((exit) => {
        if (Exit.isSuccess(exit)) settle(Result.succeed(exit.value))
        else if (cancelled !== undefined) settle(Result.fail(cancelled))
        else void statusOf(operation, Cause.squash(exit.cause)).then((error) => settle(Result.fail(error)))
      })
      return (reason) => {
        cancelled = reason
        fiber.interruptUnsafe()
      }
    },
    stream: async function* (operation, items, signal) {
      const ending = Stream.interruptWhen(items, closing)
      const iterator = Stream.toAsyncIterableWith(ending, context)[Symbol.asyncIterator]()
      // A response that waits for a client to read may never ask for more: only the signal says that the client is gone.
      const end = () => void iterator.return?.()
      signal.addEventListener("abort", end)
      try {
        signal.throwIfAborted()
        for await (const item of { [Symbol.asyncIterator]: () => iterator }) yield item
        signal.throwIfAborted()
      } catch (error) {
        // The reason says whether the caller has gone or its deadline has passed.
        throw signal.aborted ? ConnectError.from(signal.reason) : await statusOf(operation, error)
      } finally {
        signal.removeEventListener("abort", end)
      }
    }
  }
})

const isAdminError = Schema.is(AdminError)
