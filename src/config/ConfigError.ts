/**
 * What is wrong with a config, as a user reads it: every problem with its place, in one report.
 *
 * The text is safe to print: whoever makes a problem has escaped what came from the file.
 */
import { Schema } from "effect"

export const ConfigProblem = Schema.Struct({
  /** `listeners[0].routes[1].backend`, the environment variable, or empty for the file as a whole. */
  path: Schema.String,
  /** The offending value, what is wrong with it, and what to do. */
  message: Schema.String
})

export type ConfigProblem = typeof ConfigProblem.Type

/** A config that cannot be used. `message` is the whole report. */
export class ConfigError extends Schema.TaggedError<ConfigError>()("ConfigError", {
  file: Schema.String,
  problems: Schema.Array(ConfigProblem)
}) {
  override get message(): string {
    return formatProblems(this.file, this.problems)
  }
}

/** One line for one problem, else a headline and a line each; those past `PROBLEMS_SHOWN_MAX` are only counted. */
export const formatProblems = (file: string, problems: ReadonlyArray<ConfigProblem>): string => {
  const lines = problems
    .slice(0, PROBLEMS_SHOWN_MAX)
    .map(({ path, message }) => (path ? `${path}: ${message}` : message))
  if (problems.length === 1) return `${file}: ${lines.join("")}`
  const hidden = problems.length - lines.length
  return [
    `${file}: ${problems.length} problems`,
    ...lines.map((line) => `  ${line}`),
    ...(hidden > 0 ? [`  and ${hidden} more`] : [])
  ].join("\n")
}

/** Two screens: who gets more has one mistake many times, such as a list in the wrong form. */
export const PROBLEMS_SHOWN_MAX = 100
