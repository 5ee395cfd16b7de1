/**
 * The differences between two states, as an operator reads them: one line each, in the words of the config file.
 *
 * Lines are safe to print, and sorted by what they are about, so that two runs can be compared.
 */
import { showText } from "../config/Printable.ts"
import type { ListenerSettings, State } from "../snapshot/Change.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import type { L7Policy, Listener, Route } from "../snapshot/Snapshot.ts"

/** What has to be done to make `to` of `from`: listeners, then routes, then rules. Empty: nothing. */
export const differences = (from: State, to: State): ReadonlyArray<string> => [
  ...compare(byAddr(from), byAddr(to), {
    added: (listener) => `add listener ${listener.addr}${settingsOf(listener)}`,
    changed: (before, after) => changeOf(`listener ${after.addr}`, listenerFields(before), listenerFields(after)),
    removed: ({ addr, routes }) => `remove listener ${addr}${routes.length > 0 ? ` and its routes` : ""}`
  }),
  ...compare(routesOf(from), routesOf(to), {
    added: ({ addr, route }) => `add route ${route.hostname} on ${addr}: ${fieldsText(routeFields(route))}`,
    changed: (before, after) =>
      changeOf(`route ${after.route.hostname} on ${after.addr}`, routeFields(before.route), routeFields(after.route)),
    removed: ({ addr, route }) => `remove route ${route.hostname} on ${addr}`
  }),
  ...compare(rulesOf(from), rulesOf(to), {
    added: ({ type, value }) => `add firewall rule ${type} ${value}`,
    changed: () => undefined,
    removed: ({ type, value }) => `remove firewall rule ${type} ${value}`
  })
]

/** The names and values of what may differ, under the config file's keys. Empty values stand for none. */
type Fields = ReadonlyMap<string, string>

interface Lines<A> {
  added(item: A): string
  /** `undefined`: they do not differ. */
  changed(before: A, after: A): string | undefined
  removed(item: A): string
}

const compare = <A>(from: ReadonlyMap<string, A>, to: ReadonlyMap<string, A>, lines: Lines<A>): Array<string> => {
  const names = [...new Set([...from.keys(), ...to.keys()])].toSorted()
  return names.flatMap((name) => {
    const before = from.get(name)
    const after = to.get(name)
    if (before === undefined) return after === undefined ? [] : [lines.added(after)]
    return (after === undefined ? lines.removed(before) : lines.changed(before, after)) ?? []
  })
}

const byAddr = ({ listeners }: State): ReadonlyMap<string, Listener> =>
  new Map(listeners.map((listener) => [listener.addr, listener]))

const routesOf = ({ listeners }: State): ReadonlyMap<string, { readonly addr: string; readonly route: Route }> =>
  new Map(
    listeners.flatMap(({ addr, routes }) => routes.map((route) => [`${addr} ${route.hostname}`, { addr, route }]))
  )

const rulesOf = ({ firewallRules }: State): ReadonlyMap<string, FirewallRule> =>
  new Map(firewallRules.map((rule) => [`${rule.type} ${rule.value}`, rule]))

const changeOf = (what: string, before: Fields, after: Fields): string | undefined => {
  const changed = [...new Set([...before.keys(), ...after.keys()])].flatMap((key) => {
    const [old, now] = [before.get(key) ?? "", after.get(key) ?? ""]
    return old === now ? [] : [`${key} ${old || "none"} → ${now || "none"}`]
  })
  return changed.length === 0 ? undefined : `change ${what}: ${changed.join(", ")}`
}

const settingsOf = (listener: ListenerSettings): string => {
  const text = fieldsText(listenerFields(listener))
  return text === "" ? "" : `: ${text}`
}

const fieldsText = (fields: Fields): string =>
  [...fields]
    .filter(([, value]) => value !== "")
    .map(([key, value]) => `${key} ${value}`)
    .join(", ")

const listenerFields = (listener: ListenerSettings): Fields =>
  new Map([
    ["proxy_protocol", flag(listener.proxyProtocol)],
    ["trusted_proxies", list(listener.trustedProxies)],
    ["max_connections", listener.maxConnections === 0 ? "" : String(listener.maxConnections)]
  ])

const routeFields = (route: Route): Fields => {
  const fields = new Map([
    ["backend", route.backend],
    ["mode", route.mode],
    ["send_proxy_protocol", flag(route.sendProxyProtocol)]
  ])
  if (route.mode === "l4") return fields
  return new Map([
    ...fields,
    ["tls_cert", path(route.tlsCert)],
    ["tls_key", path(route.tlsKey)],
    ["backend_protocol", route.backendProtocol],
    ["backend_tls", flag(route.backendTls)],
    ["backend_ca", path(route.backendCa)],
    ["backend_server_name", route.backendServerName],
    ["l7_policies", list(route.l7Policies.map(policyText))]
  ])
}

const policyText = ({ type, value }: L7Policy): string => `${type} ${showText(value)}`

const flag = (on: boolean): string => (on ? "true" : "")

const path = (text: string): string => (text === "" ? "" : showText(text))

const list = (items: ReadonlyArray<string>): string => (items.length === 0 ? "" : `[${items.join(", ")}]`)
