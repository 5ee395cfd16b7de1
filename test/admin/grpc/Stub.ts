/** The real admin server, on a socket of the test's own, before operations that the test answers. */
import { Effect, Exit, Layer, Logger, Scope } from "effect"
import { join } from "node:path"
import { AdminRpcs } from "../../../src/admin/AdminRpcs.ts"
import * as AdminServer from "../../../src/admin/AdminServer.ts"
import { Drain } from "../../../src/control/Drain.ts"
import { temporaryFolder } from "../../e2e/harness/Folder.ts"
import { type Answers, type Asked, recording } from "../StubAdmin.ts"

export interface Stub {
  readonly socket: string
  /** In the order of their coming. */
  readonly asked: ReadonlyArray<Asked>
  /** What the server has logged, each with what it was about. */
  readonly logged: ReadonlyArray<unknown>
  readonly drain: Drain["Service"]
  /** Completes when it has closed. */
  readonly close: Effect.Effect<void>
}

export const startStub = Effect.fnUntraced(function* (
  answers: Answers,
  options: Omit<AdminServer.AdminServerOptions, "path"> = {}
) {
  const socket = join(yield* temporaryFolder, "admin.sock")
  const asked: Array<Asked> = []
  const logged: Array<unknown> = []
  const drain = yield* Effect.provide(Drain, Drain.layer)
  const scope = yield* Scope.fork(yield* Effect.scope)
  yield* AdminServer.layer({ path: socket, ...options }).pipe(
    Layer.provide([
      AdminRpcs.toLayer(recording(answers, asked)),
      Layer.succeed(Drain, drain),
      Logger.layer([Logger.make(({ message }) => void logged.push(message))])
    ]),
    Layer.buildWithScope(scope)
  )
  return { socket, asked, logged, drain, close: Scope.close(scope, Exit.void) } satisfies Stub
})
