/**
 * A program that a test has started: what it has printed so far, and how it ends.
 *
 * The test's scope owns the process and kills it; what it printed is shown when the test fails.
 */
import { Effect, Exit, type Scope } from "effect"
import { spawn, type ChildProcess } from "node:child_process"
import { Watch } from "./Watch.ts"

export interface ProgramOptions {
  /** Added to the environment, from which every MCPROXY_ variable is taken out. */
  readonly env?: Readonly<Record<string, string>>
  /** The most open files it may have, soft and hard limit. */
  readonly nofile?: number
  readonly cwd?: string
  /** Where its stderr goes instead of to `stderr`: a descriptor of the caller's. */
  readonly stderrTo?: number
}

/** `signal` is there instead of a code when one ended the process. */
export interface ProgramEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class Program {
  readonly process: ChildProcess
  /** Notified at every output and at the end. */
  readonly watch = new Watch()
  stdout = ""
  stderr = ""
  /** Set when the process has ended and all that it printed is here. */
  end: ProgramEnd | undefined

  constructor(process: ChildProcess, command: string) {
    this.process = process
    process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text
      this.watch.notify()
    })
    process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text
      this.watch.notify()
    })
    process.on("error", (error) => {
      this.stderr += `${command}: ${error.message}\n`
      this.#ended({ code: null, signal: null })
    })
    process.on("close", (code, signal) => this.#ended({ code, signal }))
  }

  get pid(): number {
    return this.process.pid!
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal)
  }

  /** Waits for the end. */
  readonly ended: Effect.Effect<ProgramEnd> = Effect.suspend(() =>
    this.watch.until("the program's end", () => this.end)
  )

  #ended(end: ProgramEnd): void {
    this.end ??= end
    this.watch.notify()
  }
}

/** Starts a program. */
export const startProgram = (
  command: string,
  args: ReadonlyArray<string>,
  options: ProgramOptions = {}
): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const line = options.nofile === undefined ? [command, ...args] : [...limited(options.nofile), command, ...args]
      const child = spawn(line[0]!, line.slice(1), {
        cwd: options.cwd,
        env: { ...inherited(), ...options.env },
        stdio: ["ignore", "pipe", options.stderrTo ?? "pipe"]
      })
      return new Program(child, command)
    }),
    (program, exit) =>
      Effect.gen(function* () {
        if (Exit.isFailure(exit)) console.error(`${command} ${args.join(" ")} had printed:\n${lastOf(program.stderr)}`)
        program.process.kill("SIGKILL")
        yield* program.ended
      })
  )

/** Runs a program to its end. */
export const runProgram = (command: string, args: ReadonlyArray<string>, options: ProgramOptions = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const program = yield* startProgram(command, args, options)
      const { code, signal } = yield* program.ended
      return { code, signal, stdout: program.stdout, stderr: program.stderr }
    })
  )

/** `exec` leaves one process, whose id is the program's. */
const limited = (nofile: number) => ["/bin/sh", "-c", 'ulimit -n "$1" && shift && exec "$@"', "sh", String(nofile)]

const inherited = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("MCPROXY_")))

const lastOf = (text: string): string => (text.length > SHOWN_MAX ? `…${text.slice(-SHOWN_MAX)}` : text)

/** Enough to see what happened last, little enough to read. */
const SHOWN_MAX = 8 * 1024
