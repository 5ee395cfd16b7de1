/**
 * Runs the operations that gRPC handlers ask for: a fiber a call, interrupted by the call's signal (its caller goes, or
 * its deadline passes) and when the scope closes. Streams are pulled only as the client takes, and end when the server
 * closes.
 *
 * What an operation fails with becomes its gRPC status; a defect is logged, and told in general words.
 */
import { ConnectError } from "@connectrpc/connect"
import { Effect, FiberSet, Schema, type Scope, Stream } from "effect"
import { AdminError, type Unavailable } from "../AdminError.ts"
import { logDefect } from "../OperationGuard.ts"
import { toConnectError } from "./Codes.ts"

export interface Calls {
  readonly unary: <A>(operation: string, answer: Effect.Effect<A, AdminError>, signal: AbortSignal) => Promise<A>
  readonly stream: <A>(
    operation: string,
    items: Stream.Stream<A, AdminError>,
    signal: AbortSignal
  ) => AsyncGenerator<A, void, undefined>
}

/** `closing` fails when the server closes. */
export const make = Effect.fnUntraced(function* (
  closing: Effect.Effect<never, Unavailable>
): Effect.fn.Return<Calls, never, Scope.Scope> {
  const run = yield* FiberSet.makeRuntimePromise()
  const context = yield* Effect.context()

  const statusOf = async (operation: string, error: unknown, signal: AbortSignal): Promise<ConnectError> => {
    // The reason says whether the caller has gone or its deadline has passed.
    if (signal.aborted) return ConnectError.from(signal.reason)
    if (isAdminError(error)) return toConnectError(error)
    return toConnectError(await run(logDefect(operation, error)))
  }

  return {
    unary: async (operation, answer, signal) => {
      try {
        return await run(answer, { signal })
      } catch (error) {
        throw await statusOf(operation, error, signal)
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
        throw await statusOf(operation, error, signal)
      } finally {
        signal.removeEventListener("abort", end)
      }
    }
  }
})

const isAdminError = Schema.is(AdminError)
