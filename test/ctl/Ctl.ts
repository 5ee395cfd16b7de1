/** `mcproxyctl` in the test's own process: what a command line prints, and how it fails. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Exit, Layer, Option, Sink, Stdio, Stream, Terminal } from "effect"
import { layerCli } from "../../src/bin/Main.ts"
import { ctl as runCtl } from "../../src/ctl/Ctl.ts"

// Whoever runs the tests may want none; the terminals in them are others'.
delete process.env["NO_COLOR"]

export interface CtlOptions {
  readonly stdin?: string
  /** The width of the terminal that stdout is. Left out: it is none. */
  readonly width?: number
}

export interface CtlEnd {
  readonly stdout: string
  /** What went there before the end; of a failure, see `failure`. */
  readonly stderr: string
  /** The message of the error that the program reports with exit code 1; `undefined`: it is done. */
  readonly failure: string | undefined
}

/** Runs a command line against the admin socket. */
export const ctl = (socket: string, args: ReadonlyArray<string>, options: CtlOptions = {}): Effect.Effect<CtlEnd> =>
  Effect.gen(function* () {
    const stdout: Array<string> = []
    const stderr: Array<string> = []
    const stdio = Stdio.layerTest({
      args: Effect.succeed([...args, "--socket", socket]),
      stdin: Stream.make(new TextEncoder().encode(options.stdin ?? "")),
      stdout: () => Sink.forEach((text) => Effect.sync(() => stdout.push(String(text)))),
      stdoutIsTerminal: Effect.succeed(options.width !== undefined)
    })
    const console: Console.Console = {
      ...globalThis.console,
      log: (line: string) => stdout.push(`${line}\n`),
      error: (line: string) => stderr.push(`${line}\n`)
    }
    const exit = yield* runCtl([...args, "--socket", socket], "1.2.3").pipe(
      Effect.provide(Layer.merge(stdio, terminal(options.width ?? 0))),
      Effect.provide([layerCli("mcproxyctl"), NodeServices.layer]),
      Effect.provideService(Console.Console, console),
      Effect.exit
    )
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
    if (Exit.isFailure(exit) && error === undefined) return yield* Effect.die(Cause.squash(exit.cause))
    return { stdout: stdout.join(""), stderr: stderr.join(""), failure: error?.message }
  })

const terminal = (width: number) =>
  Layer.effect(
    Terminal.Terminal,
    Effect.map(Terminal.Terminal, (real) => Terminal.make({ ...real, columns: Effect.succeed(width) }))
  )
