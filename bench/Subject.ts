/**
 * What is measured: the bare relay, and the proxy started as a user would start it.
 *
 * Another subject is another entry in `subjects`: something that listens on a port of 127.0.0.1, in one process, and
 * routes each hostname to its backend.
 */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { BenchError } from "./BenchError.ts"
import { forkFile, own, receive, type Child } from "./Child.ts"
import { Listening } from "./Protocol.ts"

export interface Subject {
  readonly name: string
  readonly start: (setup: Setup) => Effect.Effect<Running, BenchError, Scope.Scope>
}

export interface Setup {
  /** The backend's port on 127.0.0.1 for each hostname. */
  readonly routes: Readonly<Record<string, number>>
  /** A folder of the subject's own, removed at the end. */
  readonly folder: string
  /** For subjects that run on Node. */
  readonly nodeOptions: ReadonlyArray<string>
}

export interface Running {
  readonly process: Child
  readonly port: number
}

/** The relay that the others are divided by. */
export const bare: Subject = {
  name: "bare",
  start: Effect.fnUntraced(function* ({ nodeOptions, routes }) {
    const args = Object.entries(routes).map(([hostname, port]) => `${hostname}=${port}`)
    const process = yield* forkFile("BareRelay.ts", args, nodeOptions)
    const { port } = yield* receive(process, Listening)
    return { process, port }
  })
}

/** The one that the limits are for. */
export const proxy: Subject = { name: "mc-proxy", start: (setup) => startProxy(setup, "access = false") }

const proxyWithAccessLog: Subject = {
  name: "mc-proxy-access-log",
  start: (setup) => startProxy(setup, "access = true")
}

export const subjects: ReadonlyArray<Subject> = [bare, proxy, proxyWithAccessLog]

/** How long the proxy has until it listens. */
const START_TIMEOUT = "20 seconds"

const startProxy = ({ folder, nodeOptions, routes }: Setup, log: string) =>
  startBinary(folder, proxyConfig(routes, log), nodeOptions)

/**
 * Starts the built program on the text of a config file, and waits until its first listener is bound.
 *
 * Its stderr is a pipe that is read and thrown away, as those who run a service in a container or a unit do.
 */
export const startBinary = Effect.fnUntraced(function* (
  folder: string,
  text: string,
  nodeOptions: ReadonlyArray<string>
): Effect.fn.Return<Running, BenchError, Scope.Scope> {
  const config = join(folder, "mc-proxy.toml")
  writeFileSync(config, text)
  const args = [...nodeOptions, fileURLToPath(new URL("../bin/mc-proxy.js", import.meta.url)), "server", "-c", config]
  const process = yield* own("mc-proxy", () =>
    spawn(globalThis.process.execPath, args, { stdio: ["ignore", "ignore", "pipe"], env: ownEnvironment() })
  )
  const port = yield* boundPort(process)
  return { process, port }
})

const proxyConfig = (routes: Setup["routes"], log: string): string =>
  [
    "[database]",
    'path = "mc-proxy.db"',
    "[log]",
    log,
    "[[listeners]]",
    'addr = "127.0.0.1:0"',
    ...Object.entries(routes).flatMap(([hostname, port]) => [
      "[[listeners.routes]]",
      `hostname = "${hostname}"`,
      `backend = "127.0.0.1:${port}"`
    ])
  ].join("\n")

/** Variables that would override the configuration stay outside. */
const ownEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("MCPROXY_")))

/** Waits for the line that says where it listens, and lets the rest run off, so that the pipe never fills. */
const boundPort = ({ ended, process: { stderr } }: Child): Effect.Effect<number, BenchError> => {
  let output = ""
  return Effect.callback<number>((resume) => {
    const read = (text: string) => {
      output = (output + text).slice(-OUTPUT_CHARS_MAX)
      const port = LISTENING.exec(output)?.[1]
      if (port === undefined) return
      stderr?.off("data", read).resume()
      resume(Effect.succeed(Number(port)))
    }
    stderr?.setEncoding("utf8").on("data", read)
  }).pipe(
    Effect.raceFirst(ended),
    Effect.timeoutOrElse({
      duration: START_TIMEOUT,
      orElse: () => Effect.fail(new BenchError({ message: `mc-proxy does not listen after ${START_TIMEOUT}` }))
    }),
    Effect.mapError(({ message }) => new BenchError({ message: `${message}\n${output}`.trim() }))
  )
}

const LISTENING = /\blistening\b.*\baddress="?127\.0\.0\.1:(\d+).*\n/

/** Enough of a failed start to see why it failed. */
const OUTPUT_CHARS_MAX = 4096
