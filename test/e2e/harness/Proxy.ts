/**
 * The proxy as its operator runs it: the built program, a config file in a folder of its own, its log on stderr.
 *
 *     const backend = yield* startBackend()
 *     const proxy = yield* startProxy({
 *       listeners: [{ routes: [{ hostname: "a.test", backend: backend.address }] }],
 *       proxy: { hello_timeout: "1s" }
 *     })
 *     const client = yield* connect(proxy.address)
 *     yield* client.send(hello("a.test"))
 *     const line = yield* proxy.accessOf(client)
 *
 * The test's scope owns it, kills it at the end, and shows what it printed when the test fails.
 */
import { Effect, Schema } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { stringify } from "smol-toml"
import { builtBinary } from "./Binary.ts"
import { temporaryFolder } from "./Folder.ts"
import { type Program, type ProgramEnd, type ProgramOptions, startProgram } from "./Program.ts"

/** The config file, with the contract's own keys. */
export interface ProxyConfig {
  readonly listeners: ReadonlyArray<ListenerConfig>
  readonly firewall?: Section
  readonly proxy?: Section
  readonly log?: Section
  readonly grpc?: Section
  readonly metrics?: Section
  readonly tracing?: Section
}

export interface ListenerConfig extends Section {
  /** Left out: a port of the system's choice on 127.0.0.1. */
  readonly addr?: string
  readonly routes?: ReadonlyArray<Section & { readonly hostname: string; readonly backend: string }>
}

/** `[grpc]`: an admin socket in the proxy's folder. */
export const ADMIN = { addr: "admin.sock" } as const

/** `[metrics]`: on a port of the system's choice. */
export const METRICS = { addr: "127.0.0.1:0" } as const

type Section = Readonly<Record<string, unknown>>

/** One access line, every key of the contract and no other. */
export type AccessLine = typeof AccessLine.Type
const AccessLine = Schema.Struct({
  time: Schema.String,
  id: Schema.String,
  listener: Schema.String,
  client: Schema.String,
  peer: Schema.String,
  country: Schema.String,
  hostname: Schema.String,
  backend: Schema.String,
  mode: Schema.String,
  outcome: Schema.String,
  rule: Schema.String,
  from_client: Schema.Number,
  from_backend: Schema.Number,
  duration_ms: Schema.Number,
  dial_ms: Schema.NullOr(Schema.Number)
})

/** The line of one request on L7, likewise. */
export type RequestLine = typeof RequestLine.Type
const RequestLine = Schema.Struct({
  time: Schema.String,
  id: Schema.String,
  listener: Schema.String,
  client: Schema.String,
  hostname: Schema.String,
  method: Schema.String,
  path: Schema.String,
  status: Schema.NullOr(Schema.Number),
  duration_ms: Schema.Number,
  bytes: Schema.Number
})

/** Any other line; its annotations are keys beside these. */
export type LogLine = typeof LogLine.Type
const LogLine = Schema.StructWithRest(
  Schema.Struct({ time: Schema.String, level: Schema.String, message: Schema.String }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

const readAccessLine = Schema.decodeUnknownSync(AccessLine, { onExcessProperty: "error" })
const readRequestLine = Schema.decodeUnknownSync(RequestLine, { onExcessProperty: "error" })
const readLogLine = Schema.decodeUnknownSync(LogLine)

export class Proxy {
  readonly program: Program
  /** Where its config file is, and whatever the test puts there. */
  readonly folder: string
  /** Every line so far. */
  readonly accessLines: Array<AccessLine> = []
  readonly requestLines: Array<RequestLine> = []
  readonly logLines: Array<LogLine> = []
  readonly #untaken: Array<AccessLine> = []
  #readUpTo = 0

  constructor(program: Program, folder: string) {
    this.program = program
    this.folder = folder
  }

  /** Where its first listener is bound, `ip:port`. */
  get address(): string {
    return this.#listening()[0]!.address
  }

  /** Where the listener is bound that the config names `addr`. */
  addressOf(addr: string): string {
    return this.#listening().find(({ listener }) => listener === addr)!.address
  }

  /** Where a listener is bound that was added while the proxy runs. */
  boundTo(addr: string): Effect.Effect<string> {
    return this.#until(
      `the listener ${addr}`,
      () => this.#listening().find(({ listener }) => listener === addr)?.address
    )
  }

  /** Where its metrics are, `ip:port`, of a config with `metrics`. */
  get metricsAddress(): string {
    return String(this.logLines.find(({ message }) => message === "serving metrics")!["address"])
  }

  /** The admin socket of a config with `grpc: ADMIN`. */
  get adminSocket(): string {
    return join(this.folder, ADMIN.addr)
  }

  /** The next access line, in the order of the log, that no call before has given and for which `predicate` holds. */
  access(predicate: (line: AccessLine) => boolean = () => true): Effect.Effect<AccessLine> {
    return this.#until("such an access line", () => {
      const at = this.#untaken.findIndex(predicate)
      return at < 0 ? undefined : this.#untaken.splice(at, 1)[0]
    })
  }

  /** The access line of one client's connection. */
  accessOf(client: { readonly local: string }): Effect.Effect<AccessLine> {
    return this.access(({ peer }) => peer === client.local)
  }

  /** The first line of a request for which `predicate` holds. */
  request(predicate: (line: RequestLine) => boolean = () => true): Effect.Effect<RequestLine> {
    return this.#until("such a request's line", () => this.requestLines.find(predicate))
  }

  /** The first log line whose message begins so. */
  logged(start: string): Effect.Effect<LogLine> {
    return this.#until(`the log line "${start}"`, () => this.logLines.find(({ message }) => message.startsWith(start)))
  }

  signal(signal: NodeJS.Signals): void {
    this.program.signal(signal)
  }

  /** Sends a signal, and waits until the proxy has ended and every line is here. */
  stop(signal: NodeJS.Signals = "SIGTERM"): Effect.Effect<ProgramEnd> {
    return Effect.suspend(() => {
      this.signal(signal)
      return this.ended
    })
  }

  get ended(): Effect.Effect<ProgramEnd> {
    return Effect.tap(this.program.ended, () => Effect.sync(() => this.#readLines()))
  }

  /** Lines that are no JSON are for the tests that ask for another format, which read `program.stderr`. */
  #readLines(): void {
    const { stderr } = this.program
    for (let end; (end = stderr.indexOf("\n", this.#readUpTo)) >= 0; this.#readUpTo = end + 1) {
      const line = stderr.slice(this.#readUpTo, end)
      if (!line.startsWith("{")) continue
      const value: unknown = JSON.parse(line)
      if (typeof value === "object" && value !== null && "outcome" in value) {
        const access = readAccessLine(value)
        this.accessLines.push(access)
        this.#untaken.push(access)
      } else if (typeof value === "object" && value !== null && "method" in value) {
        this.requestLines.push(readRequestLine(value))
      } else {
        this.logLines.push(readLogLine(value))
      }
    }
  }

  #listening() {
    return this.logLines
      .filter(({ message }) => message === "listening")
      .map((line) => ({ listener: String(line["listener"]), address: String(line["address"]) }))
  }

  /** A proxy that has ended will not do what is waited for. */
  #until<A>(what: string, probe: () => A | undefined): Effect.Effect<A> {
    const found = this.program.watch.until(what, () => {
      this.#readLines()
      const value = probe()
      if (value !== undefined) return Effect.succeed(value)
      return this.program.end && Effect.die(new Error(`the proxy ended before ${what}:\n${this.program.stderr}`))
    })
    return Effect.flatten(found)
  }
}

export interface ProxyOptions extends ProgramOptions {
  /** Another program than the built one. */
  readonly binary?: string
}

/** Starts the proxy in a folder of its own and waits until it is ready. */
export const startProxy = Effect.fnUntraced(function* (config: ProxyConfig, options: ProxyOptions = {}) {
  return yield* startProxyIn(yield* temporaryFolder, config, options)
})

/** Starts it in a folder where it may have been before. */
export const startProxyIn = Effect.fnUntraced(function* (
  folder: string,
  config: ProxyConfig,
  options: ProxyOptions = {}
) {
  const file = writeConfig(folder, config)
  const binary = options.binary ?? builtBinary()
  const program = yield* startProgram(process.execPath, [binary, "server", "-c", file], options)
  const proxy = new Proxy(program, folder)
  yield* proxy.logged("ready")
  return proxy
})

/** Writes the config file, and gives its path. */
export const writeConfig = (folder: string, config: ProxyConfig): string => {
  const file = join(folder, "mc-proxy.toml")
  writeFileSync(file, tomlOf(config))
  return file
}

/** The text of a config file: a database, JSON logs, and what `config` says. */
export const tomlOf = (config: ProxyConfig): string =>
  stringify({
    ...config,
    database: { path: "mc-proxy.db" },
    listeners: config.listeners.map((listener) => ({ addr: "127.0.0.1:0", ...listener })),
    log: { format: "json", ...config.log }
  })
