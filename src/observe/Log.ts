/**
 * Effect's logger on the sink: `Effect.log…` and its annotations, as one line each.
 *
 * It takes the place of Effect's default loggers. A failure shows as its message and what caused it; a stack trace is
 * there only at level debug, and even then in the same line. Annotations become keys, log spans are left out.
 */
import { Cause, Effect, Formatter, Layer, Logger, References } from "effect"
import type { LogLevel } from "effect"
import { formatRecord, toLogValue, type LogFormat, type LogValue } from "./LogLine.ts"
import { LogSink } from "./LogSink.ts"

export interface LogOptions {
  /** Lines below it are not written. */
  readonly level: "debug" | "info" | "warn" | "error"
  readonly format: LogFormat
}

/** Logs to the sink, and only there. */
export const layer = (options: LogOptions): Layer.Layer<never, never, LogSink> =>
  Layer.mergeAll(
    Logger.layer([Effect.map(LogSink, (sink) => make(sink, options))]),
    Layer.succeed(References.MinimumLogLevel, MINIMUM_LEVEL[options.level])
  )

const MINIMUM_LEVEL = { debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const satisfies Record<
  LogOptions["level"],
  LogLevel.LogLevel
>

const make = (sink: LogSink["Service"], { level, format }: LogOptions): Logger.Logger<unknown, void> =>
  Logger.make(({ cause, date, fiber, logLevel, message }) => {
    const said = describeMessage(message)
    const failure = cause.reasons.length > 0 ? describeCause(cause) : ""
    const fields: Array<readonly [string, LogValue]> = []
    // An error logged without words is its own message.
    if (said !== "" && failure !== "") fields.push(["cause", failure])
    if (failure !== "" && level === "debug") fields.push(["stack", Cause.pretty(cause)])
    for (const [key, value] of Object.entries(fiber.getRef(References.CurrentLogAnnotations))) {
      fields.push([OWN_KEYS.has(key) ? `${key}_` : key, toLogValue(value)])
    }
    const record = { time: date.getTime(), level: logLevel.toLowerCase(), message: said || failure, fields }
    sink.write(formatRecord(format, record))
  })

/** Keys that an annotation may not take over; one of that name gets an underscore. */
const OWN_KEYS: ReadonlySet<string> = new Set(["time", "level", "message", "cause", "stack"])

const describeMessage = (message: unknown): string =>
  (Array.isArray(message) ? message : [message])
    .map((part: unknown) => (typeof part === "string" ? part : Formatter.format(part)))
    .join(" ")

/** Every failure with the chain of its causes; none has more than a name and a message. */
const describeCause = (cause: Cause.Cause<unknown>): string =>
  Cause.hasInterruptsOnly(cause) ? "interrupted" : Cause.prettyErrors(cause).map(describeError).join("; ")

const describeError = ({ name, message, cause }: Error): string => {
  const own = message === "" ? name : name === "Error" ? message : `${name}: ${message}`
  return cause instanceof Error ? `${own}, caused by ${describeError(cause)}` : own
}
