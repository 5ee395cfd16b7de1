/**
 * What a proxy holds, as three sides tell it: the admin API, the database itself, and the data plane that decides.
 *
 * An item is named by its key, and differs from another of that key by its value: `listener ADDR` (its
 * max_connections), `route ADDR HOSTNAME` (its backend), `rule TYPE VALUE` (nothing).
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Fields } from "../../admin/grpc/StockClient.ts"
import type { Ask, Refused } from "./Admin.ts"
import type { Proxy } from "./Proxy.ts"

export type Items = ReadonlyMap<string, string>

/** Keys with their new value; `undefined`: gone. */
export type ItemsChange = ReadonlyMap<string, string | undefined>

export const listenerKey = (addr: string): string => `listener ${addr}`
export const routeKey = (addr: string, hostname: string): string => `route ${addr} ${hostname}`
export const ruleKey = (type: string, value: string): string => `rule ${type} ${value}`

export const changed = (items: Items, change: ItemsChange): Items => {
  const after = new Map(items)
  for (const [key, value] of change) {
    if (value === undefined) after.delete(key)
    else after.set(key, value)
  }
  return after
}

/** In an order that both sides share. */
export const assertSameItems = (actual: Items, expected: Items, message: string): void => {
  const inOrder = (items: Items) => [...items].map((item) => item.join(" = ")).toSorted()
  assert.deepStrictEqual(inOrder(actual), inOrder(expected), message)
}

const list = (answer: Fields, name: string) => answer[name] as ReadonlyArray<Readonly<Record<string, string>>>

/** As the admin API lists them. */
export const itemsOfApi = Effect.fnUntraced(function* (ask: Ask): Effect.fn.Return<Items, Refused> {
  const items = new Map<string, string>()
  for (const { addr, max_connections } of list(yield* ask("ListListeners"), "listeners")) {
    items.set(listenerKey(addr!), String(max_connections))
  }
  const { listeners } = yield* ask("ListRoutes")
  for (const listener of listeners as ReadonlyArray<Fields>) {
    for (const { backend, hostname } of list(listener, "routes")) {
      items.set(routeKey(String(listener["listener_addr"]), hostname!), backend!)
    }
  }
  for (const { type, value } of list(yield* ask("GetFirewallRules"), "rules")) {
    items.set(ruleKey(type!.replace("FIREWALL_RULE_TYPE_", "").toLowerCase(), value!), "")
  }
  return items
}, Effect.orDie)

/** As another program reads them from the disk. */
export const itemsOfDatabase = (proxy: Proxy): Items => {
  const database = new DatabaseSync(join(proxy.folder, "mc-proxy.db"), { readOnly: true })
  try {
    const rows = database
      .prepare(
        `SELECT 'listener ' || addr AS key, CAST(max_connections AS TEXT) AS value FROM listeners
         UNION ALL SELECT 'route ' || addr || ' ' || hostname, backend
           FROM routes JOIN listeners ON listeners.id = routes.listener_id
         UNION ALL SELECT 'rule ' || type || ' ' || value, '' FROM firewall_rules`
      )
      .all()
    return new Map(rows.map(({ key, value }) => [String(key), String(value)]))
  } finally {
    database.close()
  }
}

/**
 * The data plane decides by `items`, for each of `keys`: what is there is in force, what is not is unknown to it.
 * `free` is an address that no rule blocks.
 */
export const assertDecides = Effect.fnUntraced(function* (
  ask: Ask,
  base: string,
  items: Items,
  keys: Iterable<string>,
  free: string
) {
  const explain = (listener: string, ip: string, hostname: string) =>
    ask("ExplainConnection", { listener_addr: listener, client_ip: ip, hostname }).pipe(
      Effect.map((answer) => describe(answer)),
      Effect.catch(({ status }) => Effect.succeed(status))
    )
  const assertOne = Effect.fnUntraced(function* (key: string) {
    const [kind, first = "", second = ""] = key.split(" ")
    const value = items.get(key)
    if (kind === "listener") {
      const expected = value === undefined ? "NOT_FOUND" : "no_route"
      assert.strictEqual(yield* explain(first, free, "unknown.test"), expected, key)
    } else if (kind === "route") {
      const absent = items.has(listenerKey(first)) ? "no_route" : "NOT_FOUND"
      assert.strictEqual(yield* explain(first, free, second), value === undefined ? absent : `routed ${value}`, key)
    } else {
      const expected = value === undefined ? "no_route" : `blocked_${first} ${second}`
      assert.strictEqual(yield* explain(base, second.split("/")[0]!, "unknown.test"), expected, key)
    }
  })
  yield* Effect.forEach(keys, assertOne, { concurrency: QUESTIONS_AT_ONCE, discard: true })
})

/** Enough that neither side waits for the other. */
const QUESTIONS_AT_ONCE = 16

const describe = ({ matched_rule, outcome, route }: Fields): string => {
  const by = (matched_rule as Fields | null)?.["value"] ?? (route as Fields | null)?.["backend"]
  return typeof by === "string" ? `${String(outcome)} ${by}` : String(outcome)
}
