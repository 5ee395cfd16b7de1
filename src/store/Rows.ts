/**
 * From the database's rows to the state. Every row is checked, and each bad one is named with what is wrong.
 *
 * The tables' own constraints refuse most of it beforehand, but not what another program writes with them off.
 */
import { Result, Schema, SchemaIssue } from "effect"
import type { ConfigProblem } from "../config/ConfigError.ts"
import { showText } from "../config/Printable.ts"
import type { State } from "../snapshot/Change.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { L7Policy, Listener, Route } from "../snapshot/Snapshot.ts"
import {
  FirewallRuleSchema,
  L7PolicySchema,
  L4RouteSchema,
  L7RouteSchema,
  ListenerSettingsSchema
} from "./StateSchema.ts"

export type Row = Readonly<Record<string, unknown>>

/** The tables, each in the order of its ids; `l7_policies` by route and position. */
export interface Tables {
  readonly listeners: ReadonlyArray<Row>
  readonly routes: ReadonlyArray<Row>
  readonly policies: ReadonlyArray<Row>
  readonly rules: ReadonlyArray<Row>
}

/** The state that the rows are, or every bad row. */
export const readState = (tables: Tables): Result.Result<State, ReadonlyArray<ConfigProblem>> => {
  const problems: Array<ConfigProblem> = []
  const policies = readPolicies(tables.policies, problems)
  const routes = readRoutes(tables.routes, policies, problems)
  const listeners = tables.listeners.flatMap((row) => readListener(row, routes, problems) ?? [])
  checkParents("l7_policies", "route_id", tables.policies, "routes", tables.routes, problems)
  checkParents("routes", "listener_id", tables.routes, "listeners", tables.listeners, problems)
  const firewallRules = tables.rules.flatMap(
    ({ id, type, value }) =>
      decode<FirewallRule>(FirewallRuleSchema, { type, value }, `firewall_rules row ${String(id)}`, problems) ?? []
  )
  return problems.length > 0 ? Result.fail(problems) : Result.succeed({ listeners, firewallRules })
}

const readListener = (
  row: Row,
  routes: ReadonlyMap<unknown, ReadonlyArray<Route>>,
  problems: Array<ConfigProblem>
): Listener | undefined => {
  const settings = decode(
    ListenerSettingsSchema,
    {
      addr: row["addr"],
      proxyProtocol: toBoolean(row["proxy_protocol"]),
      trustedProxies: parseJson(row["trusted_proxies"]),
      maxConnections: row["max_connections"]
    },
    `listeners row ${String(row["id"])}`,
    problems
  )
  return settings && { ...settings, routes: routes.get(row["id"]) ?? [] }
}

/** By the id of their listener. */
const readRoutes = (
  rows: ReadonlyArray<Row>,
  policies: ReadonlyMap<unknown, ReadonlyArray<L7Policy>>,
  problems: Array<ConfigProblem>
): ReadonlyMap<unknown, ReadonlyArray<Route>> => {
  const routes = new Map<unknown, Array<Route>>()
  for (const row of rows) {
    const place = `routes row ${String(row["id"])}`
    const base = {
      mode: row["mode"],
      hostname: row["hostname"],
      backend: row["backend"],
      sendProxyProtocol: toBoolean(row["send_proxy_protocol"])
    }
    const own = policies.get(row["id"]) ?? []
    const route =
      row["mode"] === "l7"
        ? decode<Route>(L7RouteSchema, { ...base, ...l7Fields(row), l7Policies: own }, place, problems)
        : decode<Route>(L4RouteSchema, base, place, problems)
    if (row["mode"] !== "l7" && own.length > 0)
      problems.push({ path: place, message: "is no L7 route, but has policies" })
    if (route !== undefined) append(routes, row["listener_id"], route)
  }
  return routes
}

const l7Fields = (row: Row) => ({
  tlsCert: row["tls_cert"],
  tlsKey: row["tls_key"],
  backendProtocol: row["backend_protocol"],
  backendTls: toBoolean(row["backend_tls"]),
  backendCa: row["backend_ca"],
  backendServerName: row["backend_server_name"]
})

/** By the id of their route. */
const readPolicies = (
  rows: ReadonlyArray<Row>,
  problems: Array<ConfigProblem>
): ReadonlyMap<unknown, ReadonlyArray<L7Policy>> => {
  const policies = new Map<unknown, Array<L7Policy>>()
  for (const { id, route_id, type, value } of rows) {
    const policy = decode(L7PolicySchema, { type, value }, `l7_policies row ${String(id)}`, problems)
    if (policy !== undefined) append(policies, route_id, policy)
  }
  return policies
}

/** A row without its parent belongs to nothing, and would be lost in silence. */
const checkParents = (
  table: string,
  column: string,
  rows: ReadonlyArray<Row>,
  parentTable: string,
  parents: ReadonlyArray<Row>,
  problems: Array<ConfigProblem>
): void => {
  const ids = new Set(parents.map(({ id }) => id))
  for (const row of rows) {
    if (ids.has(row[column])) continue
    const message = `${String(row[column])} is no row of ${parentTable}`
    problems.push({ path: `${table} row ${String(row["id"])}: ${column}`, message })
  }
}

const decode = <A>(
  schema: Schema.Codec<A, unknown>,
  value: Row,
  place: string,
  problems: Array<ConfigProblem>
): A | undefined => {
  const decoded = Schema.decodeUnknownResult(schema)(value, { errors: "all" })
  if (Result.isSuccess(decoded)) return decoded.success
  for (const { path = [], message } of formatIssue(decoded.failure.issue).issues) {
    const keys = path.filter((part) => typeof part === "string" || typeof part === "number")
    const offending = keys.reduce<unknown>((parent, key) => (isRow(parent) ? parent[key] : undefined), value)
    const shown = typeof offending === "string" ? showText(offending) : JSON.stringify(offending)
    problems.push({ path: `${place}: ${columnOf(keys[0])}`, message: `${shown} ${message}` })
  }
  return undefined
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

const isRow = (value: unknown): value is Row => typeof value === "object" && value !== null

/** `tlsCert` is `tls_cert` in the table. */
const columnOf = (key: string | number | undefined): string =>
  String(key).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const append = <A>(lists: Map<unknown, Array<A>>, key: unknown, item: A): void => {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [item])
  else list.push(item)
}

/** Anything else is left for the schema to refuse. */
const toBoolean = (value: unknown): unknown => (value === 0 ? false : value === 1 ? true : value)

const parseJson = (value: unknown): unknown => {
  try {
    return typeof value === "string" ? JSON.parse(value) : value
  } catch {
    return value
  }
}
