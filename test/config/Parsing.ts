/** Parses config text as a file in /etc/mc-proxy, and says what came of it. */
import { assert } from "@effect/vitest"
import { Result } from "effect"
import { resolve } from "node:path"
import { parseConfig, type Config } from "../../src/config/Config.ts"
import type { ConfigError, ConfigProblem } from "../../src/config/ConfigError.ts"
import type { Environment } from "../../src/config/Environment.ts"

export const FOLDER = "/etc/mc-proxy"

export const parse = (text: string, environment: Environment = {}): Result.Result<Config, ConfigError> =>
  parseConfig(text, { file: "mc-proxy.toml", environment, resolvePath: (path) => resolve(FOLDER, path) })

/** The config of a text that must be right. */
export const configOf = (text: string, environment: Environment = {}): Config => {
  const result = parse(text, environment)
  if (Result.isFailure(result)) assert.fail(result.failure.message)
  return result.success
}

/** The error of a text that must be wrong. */
export const errorOf = (text: string, environment: Environment = {}): ConfigError => {
  const result = parse(text, environment)
  if (Result.isSuccess(result)) assert.fail("the config is right")
  return result.failure
}

/** The problems of a text, none when it is right. */
export const problemsOf = (text: string, environment: Environment = {}): ReadonlyArray<ConfigProblem> =>
  Result.match(parse(text, environment), { onFailure: ({ problems }) => problems, onSuccess: () => [] })

/** The problems of a text, a line each. */
export const linesOf = (text: string, environment: Environment = {}): ReadonlyArray<string> =>
  problemsOf(text, environment).map(({ path, message }) => `${path}: ${message}`)

/** What no config can do without. */
export const REQUIRED = `
[database]
path = "mc-proxy.db"
[[listeners]]
addr = ":443"
`

/** A right config whose only route has the given lines. */
export const withRoute = (lines: string): string => `${REQUIRED}
[[listeners.routes]]
hostname = "git.example.net"
backend = "127.0.0.1:8443"
${lines}`
