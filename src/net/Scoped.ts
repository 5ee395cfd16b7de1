/** Resources that live as long as a scope, made cheaply enough for each connection. */
import { Effect, Scope } from "effect"

/**
 * Acquires, interruptibly, and releases when the scope closes. Like `Effect.acquireRelease`, but the release is
 * synchronous and gets no environment: handing that over copies the whole context for each resource.
 */
export const acquireScoped = <A, E, R>(
  acquire: Effect.Effect<A, E, R>,
  release: (resource: A) => void
): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.Scope, (scope) =>
      Effect.flatMap(restore(acquire), (resource) =>
        Effect.as(
          Scope.addFinalizer(
            scope,
            Effect.sync(() => release(resource))
          ),
          resource
        )
      )
    )
  )
