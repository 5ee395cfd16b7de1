/**
 * What the devserver prints: what runs where, commands that work as they stand, and how to stop.
 *
 * Paths are absolute, since the shell that they are pasted into may be in another folder.
 */
import { Result } from "effect"
import type { Config } from "../config/Config.ts"
import type { Environment } from "../config/Environment.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { parseListenAddress, type ListenAddress } from "../snapshot/Endpoint.ts"
import type { Hostname } from "../snapshot/Hostname.ts"
import type { Listener } from "../snapshot/Snapshot.ts"
import { API, UNROUTED } from "./Demo.ts"
import { GRPC, GRPC_HEALTH } from "./DemoAnswer.ts"
import { demoPlaceOf, type Prepared } from "./Devserver.ts"

export interface Running {
  readonly prepared: Prepared
  readonly config: Pick<Config, "grpc" | "listeners" | "metrics">
  /** Where a listener is bound, by its `addr`; those that are missing are where the config says. */
  readonly bound: ReadonlyMap<string, SocketAddress>
  /** As `process.env` has it: curl may be told there to go through another proxy. */
  readonly environment: Environment
}

export const instructions = (running: Running): string => {
  const { config, prepared } = running
  const demos = config.listeners.flatMap((listener) =>
    listener.routes.flatMap((route) => (demoPlaceOf(route) ? [{ listener, hostname: route.hostname }] : []))
  )
  const [first] = demos
  return [
    ...headlines(prepared),
    "",
    ...config.listeners.flatMap(overview),
    "",
    ...(first === undefined ? NOTHING_TO_TRY : tries(running, demos, first)),
    "",
    ...(config.grpc === undefined ? [] : manage(config.grpc.addr)),
    ...(config.metrics === undefined ? [] : observe(running, config.metrics)),
    `Config: ${prepared.configFile} (edit it, then start again)`,
    `Routes: ${IMPORT} ${shellWord(prepared.configFile)} (applies what you have edited of them, while it runs or not)`,
    "Stop:   Ctrl-C",
    ""
  ].join("\n")
}

/** A demo as a client reaches it. */
interface Reachable {
  readonly listener: Listener
  readonly hostname: Hostname
}

const NOTHING_TO_TRY = ["The config has no route to a demo backend on this machine, so there is nothing to try."]

const tries = (running: Running, demos: ReadonlyArray<Reachable>, first: Reachable): ReadonlyArray<string> => [
  "Try, in another terminal:",
  "",
  ...demos.map((demo) => curl(running, demo, "/")),
  curl(running, first, "/slow", "--no-buffer"),
  curl(running, demos.at(-1) ?? first, "/echo", "--data", "these words"),
  ...demos.filter(({ hostname }) => hostname === API.hostname).map((demo) => callGrpc(running, demo)),
  "",
  "A name without a route is refused: curl says that the connection was reset, and the log says no_route.",
  "",
  curl(running, { ...first, hostname: UNROUTED }, "/")
]

/** An empty message, which is five bytes; what matters of the answer is in its header and trailers. */
const callGrpc = (running: Running, demo: Reachable): string => {
  const options = ["--http2", "--header", `content-type:${GRPC}`, "--header", "te:trailers", "--data-binary", "@-"]
  const line = curl(running, demo, GRPC_HEALTH, ...options, "--dump-header", "-", "--output", "/dev/null")
  return `  printf '\\0\\0\\0\\0\\0' | ${line.trimStart()}`
}

const manage = (socket: string): ReadonlyArray<string> => [
  "Manage it while it runs:",
  "",
  `  ${CTL} ${shellWord(socket)} status`,
  `  ${CTL} ${shellWord(socket)} firewall add ip 192.0.2.7`,
  `  curl --unix-socket ${shellWord(socket)} --header content-type:application/json --data {} ${STATUS_URL}`,
  ""
]

const observe = ({ environment }: Running, { addr, dashboard, path }: Metrics): ReadonlyArray<string> => {
  const { host, port } = reach(Result.getOrThrow(parseListenAddress(addr)))
  const origin = `http://${host}:${port}`
  const curl = ["curl", ...(PLAIN_PROXY_VARIABLES.some((name) => environment[name]) ? ["--noproxy", "*"] : [])]
  const lines = [`${origin}/healthz`, `${origin}${path}`].map((url) => [...curl, url].map(shellWord).join(" "))
  const page = dashboard ? [`  ${origin}/ in a browser`] : []
  return ["See how it is:", "", ...page, ...lines.map((line) => `  ${line}`), ""]
}

type Metrics = NonNullable<Config["metrics"]>

/** As it works in a checkout. */
const CTL = "npx mcproxyctl --socket"
const STATUS_URL = "http://localhost/mc_proxy.v1.ProxyAdminService/GetStatus"

/** As it works in a checkout; the first run has put the config's routes into the database, which holds from then on. */
const IMPORT = "npx mc-proxy import -c"

const headlines = ({ certificates, created, folder }: Prepared): ReadonlyArray<string> => [
  created ? `Created ${folder} with a config and throw-away certificates.` : `Using ${folder}.`,
  ...(certificates.replacedFor.length === 0
    ? []
    : [
        `Made new certificates, for ${certificates.replacedFor.join(", and ")}. The old ones are kept beside them.`,
        `Who trusted the old ${certificates.authorityFile} has to trust the new one.`
      ])
]

const overview = (listener: Listener): ReadonlyArray<string> => [
  `${listener.addr}`,
  ...listener.routes.map((route) => {
    const demo = demoPlaceOf(route) === undefined ? "" : "  (demo backend)"
    return `  ${route.hostname} -> ${route.backend}${demo}`
  })
]

const curl = (
  running: Running,
  { hostname, listener }: Reachable,
  path: string,
  ...more: ReadonlyArray<string>
): string => {
  const bound = running.bound.get(listener.addr) ?? Result.getOrThrow(parseListenAddress(listener.addr))
  const { host, port } = reach(bound)
  const throughProxy = PROXY_VARIABLES.some((name) => running.environment[name])
  const words = [
    "curl",
    ...more,
    "--cacert",
    running.prepared.certificates.authorityFile,
    ...(throughProxy ? ["--noproxy", "*"] : []),
    ...(listener.proxyProtocol ? ["--haproxy-protocol"] : []),
    "--resolve",
    `${hostname}:${port}:${host}`,
    `https://${hostname}:${port}${path}`
  ]
  return `  ${words.map(shellWord).join(" ")}`
}

/** Where curl reaches what listens there from this machine; for all addresses, its own. */
const reach = ({ ip, port }: ListenAddress): Place => {
  if (ip === undefined || ip.text === "0.0.0.0") return { host: "127.0.0.1", port }
  if (ip.text === "::") return { host: "[::1]", port }
  return { host: ip.family === 4 ? ip.text : `[${ip.text}]`, port }
}

interface Place {
  /** As a URL has it. */
  readonly host: string
  readonly port: number
}

/** As it is where no shell finds anything special in it, else in quotes. */
const shellWord = (word: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

/** What curl takes a proxy from for http; in capitals it would be what a CGI client sends (curl(1), "ENVIRONMENT"). */
const PLAIN_PROXY_VARIABLES: ReadonlyArray<string> = ["http_proxy", "all_proxy", "ALL_PROXY"]

/** And for https. */
const PROXY_VARIABLES: ReadonlyArray<string> = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
