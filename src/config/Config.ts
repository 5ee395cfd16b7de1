/**
 * The configuration: a TOML file and the environment, validated, every path absolute and every name canonical.
 *
 * A config that was read can be relied on; else every problem is told at once. Of the files that it names none is
 * opened: CertificateCheck.ts and the services that use them do that.
 */
import { Effect, type FileSystem, Path, Result } from "effect"
import type { State } from "../snapshot/Change.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { Listener } from "../snapshot/Snapshot.ts"
import { ConfigError, type ConfigProblem } from "./ConfigError.ts"
import { readConfigFile } from "./ConfigFile.ts"
import { checkVariables, type Environment } from "./Environment.ts"
import { SECTIONS } from "./Keys.ts"
import { readListeners } from "./Listeners.ts"
import { Report } from "./Report.ts"
import { readDatabase, readFirewall, readGrpc, readLog, readMetrics, readProxy, readTracing } from "./Sections.ts"
import type { Source } from "./Source.ts"
import { checkNames } from "./Table.ts"
import { parseToml } from "./Toml.ts"

export interface Config {
  readonly database: { readonly path: string }
  /** What seeds a new database; afterwards the database's own listeners hold. In the file's order. */
  readonly listeners: ReadonlyArray<Listener>
  /** The admin API's Unix socket; `undefined`: no admin API. */
  readonly grpc: { readonly addr: string } | undefined
  readonly firewall: {
    /** Empty: no database. */
    readonly geoipDb: string
    /** Seeds a new database as the listeners do. Addresses first, then networks, then countries. */
    readonly rules: ReadonlyArray<FirewallRule>
    /** 0: off. */
    readonly rateLimit: number
    readonly rateWindowMs: number
  }
  readonly proxy: {
    readonly connectTimeoutMs: number
    readonly helloTimeoutMs: number
    readonly handshakeTimeoutMs: number
    readonly headerTimeoutMs: number
    /** 0: off. */
    readonly responseTimeoutMs: number
    readonly idleTimeoutMs: number
    readonly halfCloseTimeoutMs: number
    readonly shutdownTimeoutMs: number
    readonly helloBytesMax: number
  }
  readonly log: {
    readonly level: "debug" | "info" | "warn" | "error"
    readonly format: "text" | "json"
    readonly access: boolean
  }
  /** `undefined`: no endpoint. */
  readonly metrics: { readonly addr: string; readonly path: string; readonly dashboard: boolean } | undefined
  /** `undefined`: no traces. */
  readonly tracing: { readonly otlpEndpoint: string } | undefined
  /** What works and is hardly meant so, one line each, safe to print. */
  readonly warnings: ReadonlyArray<string>
}

/** What the file fills a new database with. */
export const stateOf = ({ firewall, listeners }: Config): State => ({ listeners, firewallRules: firewall.rules })

/** Reads and validates a config file. `environment` is the process's, or a test's. */
export const loadConfig = Effect.fn("loadConfig")(function* (
  file: string,
  environment: Environment
): Effect.fn.Return<Config, ConfigError, FileSystem.FileSystem | Path.Path> {
  return yield* Effect.fromResult(resultOf(file, yield* inspectFile(file, environment)))
})

/** The same for who wants to go on with what could be read. Fails when the file itself cannot be. */
export const inspectFile = Effect.fn("inspectFile")(function* (
  file: string,
  environment: Environment
): Effect.fn.Return<Inspection, ConfigError, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const folder = path.dirname(path.resolve(file))
  const text = yield* readConfigFile(file)
  return inspectConfig(text, { environment, resolvePath: (relative) => path.resolve(folder, relative) })
})

/** What could be read of a config, and everything that is wrong with it. */
export interface Inspection {
  /** The whole, when nothing is wrong. */
  readonly config: Config | undefined
  readonly listeners: ReadonlyArray<Listener>
  /** Empty also when it is among what is wrong. */
  readonly geoipDb: string
  readonly problems: ReadonlyArray<ConfigProblem>
  readonly warnings: ReadonlyArray<string>
}

export interface ConfigContext {
  readonly environment: Environment
  /** Makes a path absolute against the config file's folder. */
  readonly resolvePath: (path: string) => string
}

/** Validates the text of a config file, and opens nothing. */
export const parseConfig = (text: string, context: ConfigContext & { readonly file: string }) =>
  resultOf(context.file, inspectConfig(text, context))

const resultOf = (file: string, { config, problems }: Inspection): Result.Result<Config, ConfigError> =>
  config === undefined ? Result.fail(new ConfigError({ file, problems })) : Result.succeed(config)

const inspectConfig = (text: string, { environment, resolvePath }: ConfigContext): Inspection => {
  const parsed = parseToml(text)
  if (Result.isFailure(parsed)) {
    return { config: undefined, listeners: [], geoipDb: "", problems: [parsed.failure], warnings: [] }
  }
  const document = parsed.success
  const report = new Report()
  const misspelt = checkNames(document, ["listeners", ...Object.keys(SECTIONS)], [], report)
  const source: Source = { document, misspelt, environment, resolvePath, report }
  const database = readDatabase(source)
  const listeners = readListeners(source)
  const grpc = readGrpc(source)
  const firewall = readFirewall(source)
  const proxy = readProxy(source)
  const log = readLog(source)
  const metrics = readMetrics(source)
  const tracing = readTracing(source)
  checkVariables(environment, report)
  const problems = report.problems(document)
  const warnings = report.warnings(document)
  // What could not be read is in the report, so the second half is for the compiler alone.
  const unusable =
    report.failed || database === undefined || firewall === undefined || proxy === undefined || log === undefined
  return {
    config: unusable ? undefined : { database, listeners, grpc, firewall, proxy, log, metrics, tracing, warnings },
    listeners,
    geoipDb: firewall?.geoipDb ?? "",
    problems,
    warnings
  }
}
