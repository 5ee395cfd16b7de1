/**
 * What requests name, to canonical values: by the config file's own rules, so that neither lets pass what the other
 * refuses. A refusal says the field, the value and the rule; of several problems it tells them all.
 */
import { Result } from "effect"
import type { TomlTable, TomlValue } from "smol-toml"
import { isAbsolute } from "node:path"
import { readListener, readListeners, readPolicy as readPolicyTable, readRoute } from "../config/Listeners.ts"
import { showText, type TomlPath } from "../config/Printable.ts"
import { LISTENER } from "../config/Keys.ts"
import { Report } from "../config/Report.ts"
import type { Source } from "../config/Source.ts"
import { complete, readTable } from "../config/Table.ts"
import { parsePath } from "../config/Value.ts"
import { parseIpAddress } from "../net/IpAddress.ts"
import type { ListenerSettings, State } from "../snapshot/Change.ts"
import { formatListenAddress, parseListenAddress } from "../snapshot/Endpoint.ts"
import { parseFirewallRule, type FirewallRule } from "../snapshot/FirewallRule.ts"
import { parseHostname, type Hostname } from "../snapshot/Hostname.ts"
import type { L7Policy, Route } from "../snapshot/Snapshot.ts"
import { InvalidArgument } from "./AdminError.ts"
import type * as Schema from "./AdminSchema.ts"

type Read<A> = Result.Result<A, InvalidArgument>

/** A value, and what about it works and is hardly meant so. */
export interface WithWarnings<A> {
  readonly value: A
  readonly warnings: ReadonlyArray<string>
}

export const readAddr = (field: string, text: string): Read<string> =>
  named(field, text, Result.map(parseListenAddress(text), formatListenAddress))

export const readHostname = (field: string, text: string): Read<Hostname> => named(field, text, parseHostname(text))

/** The canonical text of an address. */
export const readIp = (field: string, text: string): Read<string> => {
  const ip = parseIpAddress(text)
  return named(field, text, ip === undefined ? Result.fail("is no IP address") : Result.succeed(ip.text))
}

export const readPath = (field: string, text: string): Read<string> =>
  named(field, text, isAbsolute(text) ? parsePath(text) : Result.fail(NOT_ABSOLUTE))

export const readMaxConnections = (count: number): Read<number> =>
  Result.map(
    readBy({ max_connections: BigInt(count) }, (source) =>
      complete(LIMIT, readTable(LIMIT, source.document, [], source.report))
    ),
    ({ value }) => value.max_connections
  )

const LIMIT = { max_connections: LISTENER.max_connections }

export const readRule = (field: string, { type, value }: FirewallRule): Read<FirewallRule> =>
  named(`${field}.value`, value, parseFirewallRule(type, value))

export const readRules = (field: string, rules: ReadonlyArray<FirewallRule>): Read<ReadonlyArray<FirewallRule>> => {
  const read: Array<FirewallRule> = []
  const problems: Array<string> = []
  for (const [i, rule] of rules.entries()) {
    const one = readRule(`${field}[${i}]`, rule)
    if (Result.isSuccess(one)) read.push(one.success)
    else problems.push(one.failure.message)
  }
  return problems.length > 0 ? refuse(problems) : Result.succeed(read)
}

export const readListenerSettings = (field: string, listener: Schema.Listener): Read<ListenerSettings> =>
  Result.map(
    readBy(
      { [field]: listenerTable(listener) },
      (source) => readListener(listenerTable(listener), [field], source).result
    ),
    ({ value: { routes: _, ...settings } }) => settings
  )

export const readRouteRequest = (route: Schema.Route): Read<WithWarnings<Route>> => {
  const table = routeTable(route)
  return readBy({ route: table }, (source) => {
    checkPaths(table, ["route"], source.report)
    return readRoute(table, ["route"], source).result
  })
}

export const readPolicy = (policy: L7Policy): Read<L7Policy> =>
  Result.map(
    readBy({ policy: { ...policy } }, ({ report }) => readPolicyTable({ ...policy }, ["policy"], report)),
    ({ value }) => value
  )

/** A whole state, which has a listener at least, as a config file has. */
export const readState = (
  listeners: ReadonlyArray<typeof Schema.ListenerConfig.Type>,
  rules: ReadonlyArray<FirewallRule>
): Read<State> => {
  const tables = listeners.map(({ listener, routes }) => ({
    ...listenerTable(listener),
    routes: routes.map(routeTable)
  }))
  const read = readBy({ listeners: tables }, (source) => {
    for (const [i, { routes }] of tables.entries()) {
      for (const [j, table] of routes.entries()) checkPaths(table, ["listeners", i, "routes", j], source.report)
    }
    return readListeners(source)
  })
  const firewallRules = readRules("firewall_rules", rules)
  if (Result.isSuccess(read) && Result.isSuccess(firewallRules)) {
    return Result.succeed({ listeners: read.success.value, firewallRules: firewallRules.success })
  }
  return refuse([problemOf(read), problemOf(firewallRules)].filter((message) => message !== ""))
}

/** Reads a request as the tables of a config file that says the same. */
const readBy = <A>(document: TomlTable, read: (source: Source) => A | undefined): Read<WithWarnings<A>> => {
  const report = new Report()
  const value = read({ document, misspelt: new Set(), environment: {}, resolvePath: (path) => path, report })
  const problems = report.problems(document).map(({ message, path }) => `${path}: ${message}`)
  // What could not be read is in the report, so the second half is for the compiler alone.
  if (problems.length > 0 || value === undefined) return refuse(problems)
  return Result.succeed({ value, warnings: report.warnings(document) })
}

/** The API has no folder to resolve a path against. */
const checkPaths = (route: TomlTable, at: TomlPath, report: Report): void => {
  for (const key of PATHS) {
    const path = route[key]
    if (typeof path === "string" && !isAbsolute(path)) {
      report.problem([...at, key], `${showText(path)} ${NOT_ABSOLUTE}`)
    }
  }
}

const PATHS = ["tls_cert", "tls_key", "backend_ca"] as const
const NOT_ABSOLUTE = "is no absolute path on the proxy's host"

const listenerTable = (listener: Schema.Listener): TomlTable => ({
  addr: listener.addr,
  proxy_protocol: listener.proxyProtocol,
  trusted_proxies: [...listener.trustedProxies],
  max_connections: BigInt(listener.maxConnections)
})

/** A protobuf message does not tell a default from what was left out, so that what is for L7 alone is left out, too. */
const routeTable = (route: Schema.Route): TomlTable => {
  const table: Record<string, TomlValue> = {
    hostname: route.hostname,
    backend: route.backend,
    mode: route.mode,
    send_proxy_protocol: route.sendProxyProtocol
  }
  if (route.tlsCert !== "") table["tls_cert"] = route.tlsCert
  if (route.tlsKey !== "") table["tls_key"] = route.tlsKey
  if (route.backendTls) table["backend_tls"] = true
  if (route.backendProtocol !== "h2") table["backend_protocol"] = route.backendProtocol
  if (route.backendCa !== "") table["backend_ca"] = route.backendCa
  if (route.backendServerName !== "") table["backend_server_name"] = route.backendServerName
  if (route.l7Policies.length > 0) table["l7_policies"] = route.l7Policies.map((policy) => ({ ...policy }))
  return table
}

const named = <A>(field: string, text: string, parsed: Result.Result<A, string>): Read<A> =>
  Result.mapError(parsed, (problem) => new InvalidArgument({ message: `${field}: ${showText(text)} ${problem}` }))

const problemOf = (read: Read<unknown>): string => (Result.isFailure(read) ? read.failure.message : "")

/** One line each, and no more of them than somebody reads. */
const refuse = (problems: ReadonlyArray<string>): Result.Result<never, InvalidArgument> => {
  const shown = problems.slice(0, PROBLEMS_SHOWN_MAX)
  const more = problems.length - shown.length
  return Result.fail(
    new InvalidArgument({ message: [...shown, ...(more > 0 ? [`and ${more} more problems`] : [])].join("\n") })
  )
}

/** A gRPC status travels in a header, which clients bound to 8 KiB. */
const PROBLEMS_SHOWN_MAX = 20
