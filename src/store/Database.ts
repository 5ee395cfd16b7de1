/**
 * The state in SQL: how it is read, and how a change is committed.
 *
 * A commit is one transaction: once it is answered it is on the disk, and one that failed has changed nothing, or says
 * that it may have (`WriteFailed.certain`). Who opens the database, and in which thread, is not known here.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { DateTime, Effect, Result } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { diff, EMPTY, join, type Change, type Edit, type ListenerSettings, type State } from "../snapshot/Change.ts"
import type { Route, Snapshot } from "../snapshot/Snapshot.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { readState, type Row } from "./Rows.ts"
import { Conflict, WriteFailed } from "./Store.ts"
import * as Transaction from "./Transaction.ts"

/** What SQL runs on. */
export type Database = SqliteClient.SqliteClient | SqlClient.SqlClient

/** What a database holds. */
export interface Stored {
  /** Whether a config file, or an import, has filled it once. */
  readonly seeded: boolean
  readonly snapshot: Snapshot
}

/** Reads everything, as it was at one moment; fails with every bad row. */
export const load = Effect.fn("Database.load")(function* (): Effect.fn.Return<Stored, DatabaseError, Database> {
  const { config } = yield* SqliteClient.SqliteClient
  const sql = yield* SqlClient.SqlClient
  const { meta, ...tables } = yield* Effect.all({
    meta: sql<Row>`SELECT revision, seeded_at FROM meta`,
    listeners: sql<Row>`SELECT * FROM listeners ORDER BY id`,
    routes: sql<Row>`SELECT * FROM routes ORDER BY id`,
    policies: sql<Row>`SELECT * FROM l7_policies ORDER BY route_id, position`,
    rules: sql<Row>`SELECT * FROM firewall_rules ORDER BY id`
  }).pipe(
    Transaction.read,
    Effect.mapError(({ problem }) => DatabaseError.of(config.filename, problem))
  )
  const revision = meta[0]?.["revision"]
  if (typeof revision !== "number") return yield* DatabaseError.of(config.filename, NO_META)
  const state = readState(tables)
  if (Result.isFailure(state)) return yield* new DatabaseError({ file: config.filename, problems: state.failure })
  return { seeded: meta[0]?.["seeded_at"] !== null, snapshot: { revision, ...state.success } }
})

const NO_META = "has no row in its table meta, which mc-proxy never removes; restore a snapshot"

/** Makes `changes` on top of `expected`, each a revision of its own, and answers the last. */
export const commit = Effect.fnUntraced(
  function* (expected: number, changes: ReadonlyArray<Change>) {
    const revision = yield* advance(changes.length)
    const actual = revision - changes.length
    if (actual !== expected) return yield* new Conflict({ expected, actual })
    yield* Effect.forEach(join(changes), write, { discard: true })
    return revision
  },
  (effect) => Effect.catchTag(Transaction.write(effect), "TransactionFailed", writeFailed),
  Effect.uninterruptible
)

/** Fills a database that was never filled, and marks it so. */
export const seed = Effect.fnUntraced(
  function* (state: State) {
    const sql = yield* SqlClient.SqlClient
    const revision = yield* advance(1)
    const now = yield* DateTime.now
    yield* sql`UPDATE meta SET seeded_at = ${DateTime.formatIso(now)}`
    yield* Effect.forEach(diff(EMPTY, state), write, { discard: true })
    return revision
  },
  (effect) => Effect.catchTag(Transaction.write(effect), "TransactionFailed", writeFailed),
  Effect.uninterruptible
)

const advance = Effect.fnUntraced(function* (revisions: number) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly revision: number }>`UPDATE meta SET revision = revision + ${revisions}
    RETURNING revision`
  return (
    rows[0]?.revision ?? (yield* new Transaction.TransactionFailed({ problem: NO_META, certain: true, locked: false }))
  )
})

const writeFailed = ({ certain, locked, problem }: Transaction.TransactionFailed) =>
  Effect.flatMap(SqliteClient.SqliteClient, ({ config }) =>
    Effect.fail(new WriteFailed({ problem: `${config.filename}: ${problem}`, certain, locked }))
  )

const write = (edit: Edit): Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> => {
  switch (edit._tag) {
    case "PutListener":
      return putListener(edit.listener)
    case "RemoveListener":
      return run((sql) => sql`DELETE FROM listeners WHERE addr = ${edit.addr}`)
    case "PutRoute":
      return putRoute(edit.listener, edit.route)
    case "RemoveRoute":
      return run(
        (sql) => sql`DELETE FROM routes WHERE hostname = ${edit.hostname}
          AND listener_id = (SELECT id FROM listeners WHERE addr = ${edit.listener})`
      )
    case "PutRules":
      return run(
        (sql) => sql`INSERT INTO firewall_rules (type, value)
          SELECT value ->> 'type', value ->> 'value' FROM json_each(${JSON.stringify(edit.rules)}) WHERE true
          ON CONFLICT (type, value) DO NOTHING`
      )
    case "RemoveRules":
      return run(
        (sql) => sql`DELETE FROM firewall_rules WHERE (type, value) IN
          (SELECT value ->> 'type', value ->> 'value' FROM json_each(${JSON.stringify(edit.rules)}))`
      )
  }
}

const run = (statement: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, SqlError.SqlError>) =>
  Effect.asVoid(Effect.flatMap(SqlClient.SqlClient, statement))

const putListener = (listener: ListenerSettings) =>
  run(
    (sql) => sql`INSERT INTO listeners ${sql.insert({
      addr: listener.addr,
      proxy_protocol: Number(listener.proxyProtocol),
      trusted_proxies: JSON.stringify(listener.trustedProxies),
      max_connections: listener.maxConnections
    })}
      ON CONFLICT (addr) DO UPDATE SET proxy_protocol = excluded.proxy_protocol,
        trusted_proxies = excluded.trusted_proxies, max_connections = excluded.max_connections`
  )

/** Policies go first: one of an L4 route is refused. Without the listener, `listener_id` is NULL, and refused. */
const putRoute = Effect.fnUntraced(function* (addr: string, route: Route) {
  const sql = yield* SqlClient.SqlClient
  const listener = sql`(SELECT id FROM listeners WHERE addr = ${addr})`
  const id = sql`(SELECT id FROM routes WHERE listener_id = ${listener} AND hostname = ${route.hostname})`
  const l7 = route.mode === "l7" ? route : undefined
  yield* sql`DELETE FROM l7_policies WHERE route_id = ${id}`
  yield* sql`INSERT INTO routes (listener_id, hostname, backend, mode, send_proxy_protocol,
      tls_cert, tls_key, backend_protocol, backend_tls, backend_ca, backend_server_name)
    VALUES (${listener}, ${route.hostname}, ${route.backend}, ${route.mode}, ${Number(route.sendProxyProtocol)},
      ${l7?.tlsCert ?? null}, ${l7?.tlsKey ?? null}, ${l7?.backendProtocol ?? null},
      ${l7 === undefined ? null : Number(l7.backendTls)}, ${l7?.backendCa ?? null}, ${l7?.backendServerName ?? null})
    ON CONFLICT (listener_id, hostname) DO UPDATE SET backend = excluded.backend, mode = excluded.mode,
      send_proxy_protocol = excluded.send_proxy_protocol, tls_cert = excluded.tls_cert, tls_key = excluded.tls_key,
      backend_protocol = excluded.backend_protocol, backend_tls = excluded.backend_tls,
      backend_ca = excluded.backend_ca, backend_server_name = excluded.backend_server_name`
  if (l7 === undefined || l7.l7Policies.length === 0) return
  yield* sql`INSERT INTO l7_policies (route_id, position, type, value)
    SELECT ${id}, key, value ->> 'type', value ->> 'value' FROM json_each(${JSON.stringify(l7.l7Policies)})`
})
