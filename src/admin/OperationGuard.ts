/**
 * What every operation runs under as Effect RPC: a defect is logged, and told to the caller in general words; a stream
 * ends when the server closes. `grpc/Calls.ts` keeps the same promises for gRPC.
 */
import { Effect, Layer } from "effect"
import { RpcMiddleware, RpcSchema } from "effect/rpc"
import { AdminError, Internal, type Unavailable } from "./AdminError.ts"

export class OperationGuard extends RpcMiddleware.Service<OperationGuard>()("mc-proxy/admin/OperationGuard", {
  error: AdminError
}) {
  /** `closing` fails when the server closes. */
  static layer(closing: Effect.Effect<never, Unavailable>): Layer.Layer<OperationGuard> {
    return Layer.succeed(OperationGuard, (operation, { rpc }) => {
      const ending = RpcSchema.isStreamSchema(rpc.successSchema) ? Effect.raceFirst(operation, closing) : operation
      return Effect.catchDefect(ending, (defect) => Effect.flip(logDefect(rpc._tag, defect)))
    })
  }
}

/** Gives what the caller is told. */
export const logDefect = (operation: string, defect: unknown): Effect.Effect<Internal> =>
  Effect.logError("an operation met a defect of the proxy", defect).pipe(
    Effect.annotateLogs({ operation }),
    Effect.as(new Internal({ message: `${operation} met a defect of the proxy; its log says more` }))
  )
