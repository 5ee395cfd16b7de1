/**
 * Every key of the config file: its kind, range and default. The one table that the reader, the suggestions and the
 * environment's variable names come from.
 */
import { HOUR_MS, MINUTE_MS, SECOND_MS } from "./Duration.ts"
import * as Value from "./Value.ts"

/** A value and what holds when the key is left out; `undefined`: it must not be. */
export interface Key<A> {
  readonly value: Value.Value<A>
  readonly fallback: A | undefined
}

/** The scalar and list keys of one table. */
export type Keys = Readonly<Record<string, Key<unknown>>>

/** What a table holds once it is read. */
export type Values<K extends Keys> = { readonly [Name in keyof K]: K[Name] extends Key<infer A> ? A : never }

const required = <A>(value: Value.Value<A>): Key<A> => ({ value, fallback: undefined })
const optional = <A>(value: Value.Value<A>, fallback: NoInfer<A>): Key<A> => ({ value, fallback })

/** Linux's highest limit of open files (`fs.nr_open`): no process holds more connections. */
export const CONNECTIONS_MAX = 1_048_576
/** The limiter remembers as many moments for each address. */
export const RATE_LIMIT_MAX = 10_000
/** A rate over more than a day is a ban, and a rule says that better. */
export const RATE_WINDOW_MAX_MS = 24 * HOUR_MS
/** Shorter than a busy event loop's delays, a deadline would end honest connections. */
export const WAIT_MIN_MS = 10
/** A peer that says nothing for longer while it holds a place is gone. */
export const DEADLINE_MAX_MS = 10 * MINUTE_MS
/** Below 24.8 days (2^31 ms), from where a timer of Node fires at once. */
export const WAIT_MAX_MS = 168 * HOUR_MS
/** A service manager gives up on a stop long before. */
export const SHUTDOWN_MAX_MS = HOUR_MS
/** A hello with one name and few ciphers takes 100 to 200 bytes. */
export const HELLO_BYTES_MIN = 256
/** Sixteen times the default; each connection may hold as much while it is peeked. */
export const HELLO_BYTES_MAX = 1_048_576

const deadline = Value.duration(WAIT_MIN_MS, DEADLINE_MAX_MS)
const wait = Value.duration(WAIT_MIN_MS, WAIT_MAX_MS)

/** The tables that stand once in a file. Their scalars have an environment variable each. */
export const SECTIONS = {
  database: {
    path: required(Value.path)
  },
  grpc: {
    addr: optional(Value.path, "/srv/mc-proxy/mc-proxy.sock")
  },
  firewall: {
    geoip_db: optional(Value.pathOrNone, ""),
    blocked_ips: optional(Value.listOf(Value.ruleValue("ip", "an address such as 192.0.2.7 or 2001:db8::7")), []),
    blocked_cidrs: optional(
      Value.listOf(Value.ruleValue("cidr", "a network such as 10.0.0.0/8, its host bits zero")),
      []
    ),
    blocked_countries: optional(Value.listOf(Value.ruleValue("country", "an ISO 3166-1 code such as DE")), []),
    rate_limit: optional(Value.integer(0, RATE_LIMIT_MAX), 0),
    rate_window: optional(Value.duration(WAIT_MIN_MS, RATE_WINDOW_MAX_MS), MINUTE_MS)
  },
  proxy: {
    connect_timeout: optional(deadline, 5 * SECOND_MS),
    hello_timeout: optional(deadline, 10 * SECOND_MS),
    handshake_timeout: optional(deadline, 10 * SECOND_MS),
    header_timeout: optional(deadline, 30 * SECOND_MS),
    response_timeout: optional(Value.durationOrOff(WAIT_MIN_MS, WAIT_MAX_MS), 5 * MINUTE_MS),
    idle_timeout: optional(wait, 5 * MINUTE_MS),
    half_close_timeout: optional(wait, 30 * SECOND_MS),
    shutdown_timeout: optional(Value.duration(WAIT_MIN_MS, SHUTDOWN_MAX_MS), 30 * SECOND_MS),
    max_hello_bytes: optional(Value.integer(HELLO_BYTES_MIN, HELLO_BYTES_MAX), 65_536)
  },
  log: {
    level: optional(Value.oneOf(["debug", "info", "warn", "error"]), "info"),
    format: optional(Value.oneOf(["text", "json"]), "text"),
    access: optional(Value.boolean, true)
  },
  metrics: {
    addr: optional(Value.listenAddress, "127.0.0.1:9090"),
    path: optional(Value.requestPath, "/metrics"),
    dashboard: optional(Value.boolean, true)
  },
  tracing: {
    otlp_endpoint: optional(Value.httpUrl, "http://127.0.0.1:4318")
  }
} satisfies Record<string, Keys>

export type SectionName = keyof typeof SECTIONS

/** `[[listeners]]`, beside `routes`. */
export const LISTENER = {
  addr: required(Value.listenAddress),
  proxy_protocol: optional(Value.boolean, false),
  trusted_proxies: optional(Value.listOf(Value.ipOrCidr), []),
  max_connections: optional(Value.integer(0, CONNECTIONS_MAX), 0)
} satisfies Keys

/** `[[listeners.routes]]`, beside `l7_policies`. */
export const ROUTE = {
  hostname: required(Value.hostname),
  backend: required(Value.backendAddress),
  mode: optional(Value.oneOf(["l4", "l7"]), "l4"),
  send_proxy_protocol: optional(Value.boolean, false),
  tls_cert: optional(Value.pathOrNone, ""),
  tls_key: optional(Value.pathOrNone, ""),
  backend_tls: optional(Value.boolean, false),
  backend_protocol: optional(Value.oneOf(["h2", "http/1.1"]), "h2"),
  backend_ca: optional(Value.pathOrNone, ""),
  backend_server_name: optional(Value.hostnameOrNone, "")
} satisfies Keys

/** `[[listeners.routes.l7_policies]]`. */
export const POLICY = {
  type: required(Value.oneOf(["block_user_agent", "require_header"])),
  value: required(Value.policyValue)
} satisfies Keys

/** The header of each table beside its keys, for whoever looks for the one a misplaced key belongs to. */
export const TABLES: ReadonlyArray<readonly [header: string, keys: Keys]> = [
  ...Object.entries(SECTIONS).map(([name, keys]) => [`[${name}]`, keys] as const),
  ["[[listeners]]", LISTENER],
  ["[[listeners.routes]]", ROUTE],
  ["[[listeners.routes.l7_policies]]", POLICY]
]
