/**
 * A process the bench has started: the client, the backend, a subject.
 *
 * The scope owns it, and closes only when it has ended. Whoever waits for something from it is told when it ends first.
 */
import { Deferred, Effect, Schema, type Scope } from "effect"
import { fork, type ChildProcess } from "node:child_process"
import { fileURLToPath } from "node:url"
import { BenchError } from "./BenchError.ts"

export interface Child {
  readonly name: string
  readonly pid: number
  readonly process: ChildProcess
  /** Fails when the process ends. */
  readonly ended: Effect.Effect<never, BenchError>
}

/** How long a process has to end by itself. The proxy drains in no time, for its clients have gone. */
const STOP_TIMEOUT = "5 seconds"

/** How long a process has for an answer; the longest round takes a few seconds. */
const REPLY_TIMEOUT = "60 seconds"

/** Owns the process that `start` starts. */
export const own = Effect.fnUntraced(function* (
  name: string,
  start: () => ChildProcess
): Effect.fn.Return<Child, BenchError, Scope.Scope> {
  const ended = yield* Deferred.make<never, BenchError>()
  const process = yield* Effect.acquireRelease(Effect.sync(start), stop)
  const fail = (message: string) => Deferred.doneUnsafe(ended, Effect.fail(new BenchError({ message })))
  process.once("error", (error) => fail(`${name}: ${error.message}`))
  process.once("exit", (code, signal) => fail(`${name} ended: ${signal ?? `exit code ${code}`}`))
  if (process.pid === undefined) return yield* Deferred.await(ended)
  return { name, pid: process.pid, process, ended: Deferred.await(ended) }
})

/** Runs a file of this folder. What it writes to stderr is the user's to read. */
export const forkFile = (
  file: string,
  args: ReadonlyArray<string> = [],
  nodeOptions: ReadonlyArray<string> = []
): Effect.Effect<Child, BenchError, Scope.Scope> =>
  own(file, () =>
    fork(fileURLToPath(new URL(file, import.meta.url)), args, {
      execArgv: [...nodeOptions],
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
  )

/** The next message of a forked process; with `request`, the answer to it. */
export const receive = <A>(
  { name, process, ended }: Child,
  schema: Schema.Decoder<A>,
  request?: object
): Effect.Effect<A, BenchError> =>
  Effect.callback<unknown>((resume) => {
    const take = (message: unknown) => resume(Effect.succeed(message))
    process.once("message", take)
    if (request !== undefined) process.send(request)
    return Effect.sync(() => process.off("message", take))
  }).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(schema)),
    Effect.mapError(({ message }) => new BenchError({ message: `${name} sent an unexpected message: ${message}` })),
    Effect.raceFirst(ended),
    Effect.timeoutOrElse({
      duration: REPLY_TIMEOUT,
      orElse: () => Effect.fail(new BenchError({ message: `${name} did not answer within ${REPLY_TIMEOUT}` }))
    })
  )

/** The end of its channel stops a forked process, SIGTERM another, and SIGKILL one that does not react. */
const stop = (process: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (process.pid === undefined || process.exitCode !== null || process.signalCode !== null) {
      return resume(Effect.void)
    }
    process.once("exit", () => resume(Effect.void))
    if (process.connected) process.disconnect()
    else process.kill("SIGTERM")
  }).pipe(
    Effect.timeoutOrElse({ duration: STOP_TIMEOUT, orElse: () => Effect.sync(() => void process.kill("SIGKILL")) })
  )
