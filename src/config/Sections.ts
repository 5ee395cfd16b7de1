/**
 * The tables that stand once in a config file, joined with the environment, and the rules between their keys.
 */
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { Config } from "./Config.ts"
import { overridesOf } from "./Environment.ts"
import { SECTIONS, type Keys, type SectionName, type Values } from "./Keys.ts"
import { showText, showValue } from "./Printable.ts"
import type { Place } from "./Report.ts"
import { resolveOrNone, type Source } from "./Source.ts"
import { complete, keepOnce, readTable } from "./Table.ts"
import { isTable, valueAt } from "./Toml.ts"

/** `sun_path` has 108 bytes on Linux, the last of them NUL (unix(7)). */
export const SOCKET_PATH_BYTES_MAX = 107

export const readDatabase = (source: Source): Config["database"] | undefined => {
  const { values } = readSection("database", SECTIONS.database, source)
  return values.path === undefined ? undefined : { path: source.resolvePath(values.path) }
}

export const readGrpc = (source: Source): Config["grpc"] => {
  const { present, values, placeOf } = readSection("grpc", SECTIONS.grpc, source)
  if (!present || values.addr === undefined) return undefined
  const addr = source.resolvePath(values.addr)
  const bytes = Buffer.byteLength(addr)
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    source.report.problem(
      placeOf("addr"),
      `${showText(addr)} has ${bytes} bytes; the path of a Unix socket has at most ${SOCKET_PATH_BYTES_MAX}`
    )
  }
  return { addr }
}

export const readFirewall = (source: Source): Config["firewall"] | undefined => {
  const { values } = readSection("firewall", SECTIONS.firewall, source)
  const countries = valueAt(source.document, ["firewall", "blocked_countries"])
  if (values.geoip_db === "" && Array.isArray(countries) && countries.length > 0) {
    const message = "needs a database to tell countries by; set firewall.geoip_db to the path of an .mmdb file"
    source.report.problem(["firewall", "blocked_countries"], message)
  }
  const firewall = complete(SECTIONS.firewall, values)
  if (firewall === undefined) return undefined
  const rulesOf = (type: FirewallRule["type"], key: keyof typeof firewall, list: ReadonlyArray<string>) =>
    keepOnce(list, (value) => value, ["firewall", key], source.report).map((value): FirewallRule => ({ type, value }))
  return {
    geoipDb: resolveOrNone(source, firewall.geoip_db),
    rules: [
      ...rulesOf("ip", "blocked_ips", firewall.blocked_ips),
      ...rulesOf("cidr", "blocked_cidrs", firewall.blocked_cidrs),
      ...rulesOf("country", "blocked_countries", firewall.blocked_countries)
    ],
    rateLimit: firewall.rate_limit,
    rateWindowMs: firewall.rate_window
  }
}

export const readProxy = (source: Source): Config["proxy"] | undefined => {
  const proxy = complete(SECTIONS.proxy, readSection("proxy", SECTIONS.proxy, source).values)
  return (
    proxy && {
      connectTimeoutMs: proxy.connect_timeout,
      helloTimeoutMs: proxy.hello_timeout,
      handshakeTimeoutMs: proxy.handshake_timeout,
      headerTimeoutMs: proxy.header_timeout,
      responseTimeoutMs: proxy.response_timeout,
      idleTimeoutMs: proxy.idle_timeout,
      halfCloseTimeoutMs: proxy.half_close_timeout,
      shutdownTimeoutMs: proxy.shutdown_timeout,
      helloBytesMax: proxy.max_hello_bytes
    }
  )
}

export const readLog = (source: Source): Config["log"] | undefined =>
  complete(SECTIONS.log, readSection("log", SECTIONS.log, source).values)

export const readMetrics = (source: Source): Config["metrics"] => {
  const { present, values, placeOf } = readSection("metrics", SECTIONS.metrics, source)
  if (!present) return undefined
  if (values.path === "/healthz" || (values.path === "/" && values.dashboard === true)) {
    const taken = values.path === "/" ? "dashboard" : "health check"
    source.report.problem(placeOf("path"), `${showText(values.path)} is the ${taken}'s path; write another`)
  }
  return complete(SECTIONS.metrics, values)
}

export const readTracing = (source: Source): Config["tracing"] => {
  const { present, values } = readSection("tracing", SECTIONS.tracing, source)
  return present && values.otlp_endpoint !== undefined ? { otlpEndpoint: values.otlp_endpoint } : undefined
}

interface Section<K extends Keys> {
  /** In the file, or made by a variable. */
  readonly present: boolean
  readonly values: Partial<Values<K>>
  /** Where a key's value comes from. */
  readonly placeOf: (key: keyof K & string) => Place
}

const readSection = <K extends Keys>(name: SectionName, keys: K, source: Source): Section<K> => {
  const { document, environment, report } = source
  const overrides = overridesOf(name, keys, environment)
  const placeOf = (key: string): Place => overrides.get(key)?.variable ?? [name, key]
  const value = Object.hasOwn(document, name) ? document[name] : undefined
  if (value !== undefined && !isTable(value)) {
    report.problem([name], `${showValue(value)} is not a table; start it with [${name}]`)
    return { present: true, values: {}, placeOf }
  }
  if (source.misspelt.has(name)) return { present: true, values: {}, placeOf }
  return {
    present: value !== undefined || overrides.size > 0,
    values: readTable(keys, value ?? {}, [name], report, { overrides }),
    placeOf
  }
}
