/** How a command ends: what a user reads, and the exit code. */
import { Cause, Console, Effect, Exit, Layer, Option, Runtime } from "effect"
import { CliConfig, CliError, CliOutput, GlobalFlag } from "effect/cli"
import { stripVTControlCharacters } from "node:util"
import { escapeInvisible } from "../config/Printable.ts"

/** A command failed; `message` says what is wrong, where, and what to do, in one line or a short list. */
export interface CommandError {
  readonly message: string
}

/**
 * Runs the program called `name` to its end and exits: 0 done, 1 failed, 2 wrong usage. What went wrong goes to stderr
 * without a stack trace, which is shown for defects at log level debug alone.
 */
export const runMain = (name: string, program: Effect.Effect<void, CommandError>): void => {
  const printed = Effect.acquireUseRelease(
    watchStdout,
    () => program,
    () => flushed
  )
  const whole = Effect.andThen(printed, Effect.suspend(checkPrinted))
  const reported = Effect.onExit(whole, (exit) =>
    Exit.isSuccess(exit) || isWrongUsage(exit.cause) ? Effect.void : Console.error(printable(explain(name, exit.cause)))
  )
  run(reported, {
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) ? 0 : isWrongUsage(exit.cause) ? 2 : 1)
  })
}

/** The first failure to print; it would end the process, or be passed over, wherever it happens to be. */
let unprinted: NodeJS.ErrnoException | undefined

const watchStdout = Effect.sync(() => {
  process.stdout.on("error", (error) => {
    unprinted ??= error
  })
})

/** A pipe takes what its reader has room for, and the rest of what was printed would go with the process. */
const flushed = Effect.callback<void>((resume) => {
  // A failure is told to listeners after it is told here.
  process.stdout.write("", () => setImmediate(() => resume(Effect.void)))
})

/** A reader that has gone is no failure; a disk that is full is one. */
const checkPrinted = (): Effect.Effect<void, CommandError> =>
  unprinted === undefined || unprinted.code === "EPIPE"
    ? Effect.void
    : Effect.fail({ message: `stdout: cannot be written (${unprinted.message}); what was asked for is done` })

/** Signals are the program's own affair: the server drains at the first, and the system's default ends the rest. */
const run = Runtime.makeRunMain(({ fiber, teardown }) => {
  fiber.addObserver((exit) => teardown(exit, (code) => process.exit(code)))
})

/** Help that was asked for goes to stdout; a wrong usage gets its errors and a hint on stderr. */
export const layerCli = (name: string): Layer.Layer<never> =>
  Layer.mergeAll(
    CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
    CliOutput.layerPresenter({
      present: Effect.fnUntraced(function* (event) {
        const formatter = CliOutput.defaultFormatter({ colors: false })
        switch (event._tag) {
          case "Version":
            return yield* Console.log(`${event.name} ${event.version}`)
          case "Help": {
            const help = formatter.formatHelpDoc(event.helpDoc)
            return yield* event.reason === "Implicit" ? Console.error(help) : Console.log(help)
          }
          case "InvalidInvocation":
            for (const { message } of event.errors) yield* Console.error(`${name}: ${singleLine(message)}`)
            return yield* Console.error(`See ${event.commandPath.join(" ")} --help`)
        }
      })
    })
  )

/** The library's messages are laid out over lines, and repeat what the user typed. */
const singleLine = (message: string): string => stripVTControlCharacters(message).replace(/\s+/g, " ").trim()

/** Such an error has been presented already. */
const isWrongUsage = (cause: Cause.Cause<unknown>): boolean =>
  CliError.isCliError(Option.getOrUndefined(Cause.findErrorOption(cause)))

/** Nothing of it acts on a terminal: a path may have anything in it. */
const printable = (message: string): string => message.split("\n").map(escapeInvisible).join("\n")

const explain = (name: string, cause: Cause.Cause<CommandError>): string => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (error !== undefined) return `${name}: ${error.message}`
  const defect = Cause.squash(cause)
  const debug = process.env["MCPROXY_LOG_LEVEL"] === "debug"
  return `${name}: ended by a defect of its own: ${debug ? Cause.pretty(cause) : String(defect)}`
}
