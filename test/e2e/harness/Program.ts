/**
 * A program that a test has started: what it has printed so far, and how it ends.
 *
 * The test's scope owns the process and kills it; what it printed is shown when the test fails.
 */
import { Effect, Exit, type Scope } from "effect"
import { execFileSync, spawn, type ChildProcess } from "node:child_process"
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs"
import { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { Watch } from "./Watch.ts"

export interface ProgramOptions {
  /** Added to the environment, from which every MCPROXY_ variable is taken out. */
  readonly env?: Readonly<Record<string, string>>
  /** The most open files it may have, soft and hard limit. */
  readonly nofile?: number
  readonly cwd?: string
  /** Its stderr is a pipe, as a shell or a service manager makes one; otherwise a socket, as Node does. */
  readonly stderrPipe?: boolean
}

/** `signal` is there instead of a code when one ended the process. */
export interface ProgramEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class Program {
  readonly process: ChildProcess
  /** What reads its stderr, for tests to stop or close. */
  readonly stderrReader: Readable
  /** Notified at every output and at the end. */
  readonly watch = new Watch()
  stdout = ""
  stderr = ""
  /** Set when the process has ended and all that it printed is here. */
  end: ProgramEnd | undefined

  constructor(process: ChildProcess, stderrReader: Readable, command: string) {
    this.process = process
    this.stderrReader = stderrReader
    process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text
      this.watch.notify()
    })
    stderrReader.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text
      this.watch.notify()
    })
    process.on("error", (error) => {
      this.stderr += `${command}: ${error.message}\n`
      this.#ended({ code: null, signal: null })
    })
    process.on("close", (code, signal) => {
      if (stderrReader.closed) this.#ended({ code, signal })
      else stderrReader.once("close", () => this.#ended({ code, signal }))
    })
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
    Effect.sync(() => start(command, args, options)),
    (program, exit) =>
      Effect.suspend(() => {
        if (Exit.isFailure(exit)) console.error(`${command} ${args.join(" ")} had printed:\n${lastOf(program.stderr)}`)
        program.process.kill("SIGKILL")
        program.stderrReader.destroy()
        return program.ended
      })
  )

const start = (command: string, args: ReadonlyArray<string>, options: ProgramOptions): Program => {
  const line = options.nofile === undefined ? [command, ...args] : [...limited(options.nofile), command, ...args]
  const pipe = options.stderrPipe ? openPipe() : undefined
  const child = spawn(line[0]!, line.slice(1), {
    cwd: options.cwd,
    env: { ...inherited(), ...options.env },
    stdio: ["ignore", "pipe", pipe?.writer ?? "pipe"]
  })
  if (pipe !== undefined) closeSync(pipe.writer)
  if (child.pid === undefined) {
    child.on("error", () => {})
    pipe?.reader.destroy()
    throw new Error(`${line[0]} cannot be started; is it installed? .ci/run says what the tests need`)
  }
  return new Program(child, pipe?.reader ?? child.stderr!, command)
}

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

/** Node makes no pipes, so this is a named one whose name is gone again. */
const openPipe = (): { readonly reader: Readable; readonly writer: number } => {
  const folder = mkdtempSync(join(tmpdir(), "mc-proxy-e2e-"))
  const file = join(folder, "pipe")
  execFileSync("mkfifo", [file])
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(file, constants.O_WRONLY)
  rmSync(folder, { recursive: true })
  return { reader: new Socket({ fd, readable: true, writable: false }), writer }
}

const inherited = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("MCPROXY_")))

const lastOf = (text: string): string => (text.length > SHOWN_MAX ? `…${text.slice(-SHOWN_MAX)}` : text)

/** Enough to see what happened last, little enough to read. */
const SHOWN_MAX = 4 * 1024
