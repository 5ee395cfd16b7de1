/**
 * The control plane in a thread of its own: no import of a hundred thousand rules, no listing and no disk ever holds up
 * a connection.
 *
 * It opens the database, puts its state in force on this thread's data plane, and serves the admin API until the scope
 * closes. It cannot be done without: when it dies, so does the proxy.
 */
import { Deferred, Effect, Exit, Layer, type Scope } from "effect"
import { extname } from "node:path"
import { MessageChannel, Worker, type MessagePort } from "node:worker_threads"
import type { Config } from "../config/Config.ts"
import { LogSink } from "../observe/LogSink.ts"
import type { Drain } from "./Drain.ts"
import type { Follower } from "./Follower.ts"
import * as FollowerServer from "./FollowerServer.ts"

/** What the thread is started with. */
export interface ControlOptions {
  /** Where the config was read from. */
  readonly file: string
  readonly config: Config
  readonly version: string
}

/** What the thread gets, beside its options. */
export interface ControlPorts {
  readonly follower: MessagePort
  /** Takes log lines. */
  readonly log: MessagePort
}

export type ControlData = ControlOptions & ControlPorts

/** The control plane could not start, or cannot go on; `message` is for the operator. */
export interface ControlFailed {
  readonly message: string
}

/** The thread that was started. */
export interface ControlThread {
  /** Dies when the thread does; fails when its memory was too small. */
  readonly ended: Effect.Effect<never, ControlFailed>
}

/**
 * Starts the thread; completes when its state is in force and it takes requests. When the scope closes the thread
 * finishes what it has begun, unless `hurry` completes first.
 */
export const start = Effect.fn("ControlThread.start")(function* (
  options: ControlOptions,
  hurry: Effect.Effect<unknown>
): Effect.fn.Return<ControlThread, ControlFailed, Drain | Follower | LogSink | Scope.Scope> {
  const lifecycle: FollowerServer.Lifecycle = { started: Deferred.makeUnsafe(), stop: Deferred.makeUnsafe() }
  const follower = yield* channel
  const log = yield* channel
  const sink = yield* LogSink
  log.port1.on("message", (line: string) => sink.write(line))
  // In a fiber of its own, because the server interrupts the one that it is built in; and before the thread, which may
  // still have to put a change in force that it has committed when it is told to end.
  yield* Effect.forkScoped(Layer.launch(FollowerServer.layer(follower.port1, lifecycle)))
  const thread = yield* Effect.acquireRelease(
    Effect.sync(() => spawn({ ...options, follower: follower.port2, log: log.port2 })),
    (thread) => Effect.andThen(Deferred.succeed(lifecycle.stop, undefined), awaitEnd(thread, hurry))
  )
  const died = Deferred.makeUnsafe<never, ControlFailed>()
  thread.worker.once("error", (error) => Deferred.doneUnsafe(died, endOf(error)))
  thread.worker.once("exit", () => Deferred.doneUnsafe(died, Exit.die(new Error("The control thread has ended."))))
  yield* Effect.raceFirst(Deferred.await(lifecycle.started), Deferred.await(died))
  return { ended: Deferred.await(died) }
})

const endOf = (error: unknown): Exit.Exit<never, ControlFailed> => {
  const isMemory = error instanceof Error && "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY"
  return isMemory ? Exit.fail({ message: OUT_OF_MEMORY }) : Exit.die(error)
}

const OUT_OF_MEMORY = [
  "the control plane has run out of memory: a change was too large for the heap that Node has here, and may be made or not;",
  "make it in parts, or give Node more (NODE_OPTIONS=--max-old-space-size=MEGABYTES)"
].join(" ")

const channel = Effect.acquireRelease(
  Effect.sync(() => new MessageChannel()),
  ({ port1 }) => Effect.sync(() => port1.close())
)

interface Thread {
  readonly worker: Worker
  readonly exited: Deferred.Deferred<void>
}

/** The worker's module is beside this file, which is a `.ts` in a checkout and a `.js` in the package. */
const spawn = (data: ControlData): Thread => {
  const worker = new Worker(new URL(`./ControlWorker${extname(import.meta.url)}`, import.meta.url), {
    workerData: data,
    transferList: [data.follower, data.log]
  })
  const exited = Deferred.makeUnsafe<void>()
  worker.once("exit", () => Deferred.doneUnsafe(exited, Exit.void))
  return { worker, exited }
}

/** It finishes what it has begun to commit, closes the database and its socket, and ends; or is ended. */
const awaitEnd = Effect.fnUntraced(function* ({ exited, worker }: Thread, hurry: Effect.Effect<unknown>) {
  const late = Effect.andThen(
    Effect.sleep(STOP_TIMEOUT),
    Effect.logError("the control thread does not end, and is ended: the disk may be stuck")
  )
  const isLate = Effect.as(Effect.raceFirst(late, hurry), true)
  const overdue = yield* Effect.raceFirst(Effect.as(Deferred.await(exited), false), isLate)
  if (overdue) yield* Effect.promise(() => worker.terminate())
}, Effect.interruptible)

/** Longer than a commit waits for a database that another program has locked. */
const STOP_TIMEOUT = "10 seconds"
