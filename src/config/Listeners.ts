/**
 * `[[listeners]]` with their routes and policies, and the rules between their keys.
 *
 * Certificates are only named here; CertificateCheck.ts reads them.
 */
import type { TomlTable, TomlValue } from "smol-toml"
import { Result } from "effect"
import { formatListenAddress, parseListenAddress, type ListenAddress } from "../snapshot/Endpoint.ts"
import type { L7Policy, Listener, Route } from "../snapshot/Snapshot.ts"
import { LISTENER, POLICY, ROUTE, type Values } from "./Keys.ts"
import { showPath, showText, showValue, type TomlPath } from "./Printable.ts"
import type { Report } from "./Report.ts"
import { resolveOrNone, type Source } from "./Source.ts"
import { complete, keepOnce, readTable, readTables } from "./Table.ts"
import { valueAt } from "./Toml.ts"

/** The listeners that could be read; what is wrong with the others is in the report. */
export const readListeners = (source: Source): ReadonlyArray<Listener> => {
  const { document, misspelt, report } = source
  const value = valueAt(document, ["listeners"])
  if (misspelt.has("listeners")) return []
  if (value === undefined || (Array.isArray(value) && value.length === 0)) {
    report.problem(["listeners"], "missing; write at least one [[listeners]] with its addr")
    return []
  }
  const readings = readTables(value, ["listeners"], "[[listeners]]", report).map(({ table, at }) =>
    readListener(table, at, source)
  )
  checkUnique(readings, "give its routes to that listener", source)
  checkOverlap(readings, source)
  return readings.flatMap(({ result }) => result ?? [])
}

/** What came of one table. `name` tells it from its neighbours, and is there whenever its key is right. */
interface Reading<A> {
  readonly name: string | undefined
  readonly nameAt: TomlPath
  readonly result: A | undefined
}

/** One `[[listeners]]`, with its routes. */
export const readListener = (table: TomlTable, at: TomlPath, source: Source): Reading<Listener> => {
  const { report } = source
  const values = readTable(LISTENER, table, at, report, { nested: ["routes"] })
  const routes = readTables(table["routes"], [...at, "routes"], "[[listeners.routes]]", report).map((entry) =>
    readRoute(entry.table, entry.at, source)
  )
  checkUnique(routes, "a listener has one route for a hostname", source)
  warnOfProxies(values, [...at, "trusted_proxies"], report)
  const listener = complete(LISTENER, values)
  return {
    name: values.addr,
    nameAt: [...at, "addr"],
    result: listener && {
      addr: listener.addr,
      proxyProtocol: listener.proxy_protocol,
      trustedProxies: keepOnce(listener.trusted_proxies, (ip) => ip, [...at, "trusted_proxies"], report),
      maxConnections: listener.max_connections,
      routes: routes.flatMap(({ result }) => result ?? [])
    }
  }
}

const warnOfProxies = (values: Partial<Values<typeof LISTENER>>, at: TomlPath, report: Report): void => {
  const { proxy_protocol, trusted_proxies } = values
  if (proxy_protocol === undefined || trusted_proxies === undefined) return
  if (proxy_protocol && trusted_proxies.length === 0) {
    report.warning(at, "empty, so anyone may send a PROXY header and claim any address; name your proxies")
  }
  // No error: who turns proxy_protocol off for a while keeps the list.
  if (!proxy_protocol && trusted_proxies.length > 0) report.warning(at, "without effect until proxy_protocol = true")
}

/** One `[[listeners.routes]]`, with its policies. */
export const readRoute = (table: TomlTable, at: TomlPath, source: Source): Reading<Route> => {
  const { report } = source
  const values = readTable(ROUTE, table, at, report, { nested: ["l7_policies"] })
  const policies = readPolicies(table["l7_policies"], [...at, "l7_policies"], report)
  checkMode(table, values, at, report)
  const route = complete(ROUTE, values)
  return { name: values.hostname, nameAt: [...at, "hostname"], result: route && routeOf(route, policies, source) }
}

/** The rules between a route's keys. A broken one is one problem, however many keys it is about. */
const checkMode = (table: TomlTable, values: Partial<Values<typeof ROUTE>>, at: TomlPath, report: Report): void => {
  const refuse = (setting: string, keys: ReadonlyArray<string>, remedy: string) => {
    if (keys.length === 0) return
    const what = keys.length === 1 ? "it" : "them"
    report.problem(at, `${setting} takes no ${join(keys, "or")}; set ${remedy} or remove ${what}`)
  }
  const missing = (["tls_cert", "tls_key"] as const).filter((key) => values[key] === "")
  if (values.mode === "l7" && missing.length > 0) {
    report.problem(at, `mode = "l7" needs ${join(missing, "and")}; write the path of each PEM file`)
  }
  if (values.mode === "l4") {
    const misplaced = L7_KEYS.filter((key) => Object.hasOwn(table, key))
    refuse('mode = "l4"', misplaced, 'mode = "l7"')
  }
  if (values.mode === "l7" && values.backend_tls === false) {
    const useless = (["backend_ca", "backend_server_name"] as const).filter((key) => values[key])
    refuse("backend_tls = false", useless, "backend_tls = true")
  }
}

/** One `[[listeners.routes.l7_policies]]`. */
export const readPolicy = (table: TomlTable, at: TomlPath, report: Report): L7Policy | undefined => {
  const values = readTable(POLICY, table, at, report)
  if (values.type === "require_header" && values.value !== undefined && !HEADER_NAME.test(values.value)) {
    report.problem([...at, "value"], `${showValue(values.value)} is no header name such as "x-api-key"`)
  }
  return complete(POLICY, values)
}

const readPolicies = (value: TomlValue | undefined, at: TomlPath, report: Report): ReadonlyArray<L7Policy> => {
  const tables = readTables(value, at, "[[listeners.routes.l7_policies]]", report)
  const policies = tables.flatMap((entry) => readPolicy(entry.table, entry.at, report) ?? [])
  return keepOnce(policies, policyKey, at, report)
}

/** Tells a policy from every other of its route. Both types compare without case. */
export const policyKey = ({ type, value }: L7Policy): string => `${type} ${value.toLowerCase()}`

/** Reports each reading whose name an earlier one has. */
const checkUnique = (readings: ReadonlyArray<Reading<unknown>>, advice: string, source: Source): void => {
  const first = new Map<string, TomlPath>()
  for (const { name, nameAt } of readings) {
    if (name === undefined) continue
    const other = first.get(name)
    const written = valueAt(source.document, nameAt) ?? name
    if (other === undefined) first.set(name, nameAt)
    else source.report.problem(nameAt, `${showValue(written)} is ${showPath(other)} already; ${advice}`)
  }
}

/** Reports each listener that could not be bound beside an earlier one, since one of the two takes every address. */
const checkOverlap = (readings: ReadonlyArray<Reading<Listener>>, { report }: Source): void => {
  const earlier: Array<{ readonly address: ListenAddress; readonly at: TomlPath }> = []
  for (const { name, nameAt } of readings) {
    const address = name === undefined ? undefined : Result.getOrUndefined(parseListenAddress(name))
    if (address === undefined) continue
    const other = earlier.find((one) => overlap(one.address, address))
    if (other !== undefined) {
      const text = formatListenAddress(other.address)
      report.problem(
        nameAt,
        `${showText(name ?? "")} cannot be bound beside ${showPath(other.at)} = ${showText(text)}; name an address in both`
      )
    }
    earlier.push({ address, at: nameAt })
  }
}

/** Different listeners on one port, of which one stands for the other's address, too. The system gives each port 0 another. */
const overlap = (a: ListenAddress, b: ListenAddress): boolean => {
  if (a.port !== b.port || a.port === 0 || a.ip?.text === b.ip?.text) return false
  if (a.ip === undefined || b.ip === undefined) return true
  return a.ip.family === b.ip.family && (ANY.has(a.ip.text) || ANY.has(b.ip.text))
}

const ANY: ReadonlySet<string> = new Set(["0.0.0.0", "::"])

const routeOf = (route: Values<typeof ROUTE>, l7Policies: ReadonlyArray<L7Policy>, source: Source): Route => {
  const { hostname, backend, send_proxy_protocol: sendProxyProtocol } = route
  if (route.mode === "l4") return { hostname, backend, sendProxyProtocol, mode: "l4" }
  return {
    hostname,
    backend,
    sendProxyProtocol,
    mode: "l7",
    tlsCert: resolveOrNone(source, route.tls_cert),
    tlsKey: resolveOrNone(source, route.tls_key),
    backendProtocol: route.backend_protocol,
    backendTls: route.backend_tls,
    backendCa: resolveOrNone(source, route.backend_ca),
    backendServerName: route.backend_server_name,
    l7Policies
  }
}

const join = (keys: ReadonlyArray<string>, word: string): string =>
  keys.length < 2 ? keys.join("") : `${keys.slice(0, -1).join(", ")} ${word} ${keys.at(-1)}`

/** What an L4 route refuses even where it says no more than the default: it was meant for something. */
const L7_KEYS = [...Object.keys(ROUTE).filter((key) => /^(?:tls|backend)_/.test(key)), "l7_policies"]

/** A token (RFC 9110 5.6.2). */
export const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
