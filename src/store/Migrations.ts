/**
 * The database's schema, one migration a step; a step that was released never changes.
 *
 * The tables state the rules of the state a second time, as far as SQL can: what breaks one is refused by the database,
 * whoever writes it. Items keep the order of their ids. `meta` has one row, with the revision and the mark of seeding.
 */
import { SqliteMigrator } from "@effect/sql-sqlite-node"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { CONNECTIONS_MAX } from "../config/Keys.ts"
import { HOSTNAME_LENGTH_MAX } from "../snapshot/Hostname.ts"

/** Tells this program's databases from those of others (`PRAGMA application_id`): "mcPx". */
export const APPLICATION_ID = 0x6d635078

/** Where the migrator keeps what it has done. */
export const MIGRATIONS_TABLE = "migrations"

const create = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of TABLES) yield* sql.unsafe(statement)
})

const TABLES = [
  `PRAGMA application_id = ${APPLICATION_ID}`,
  `CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL CHECK (revision >= 0),
    seeded_at TEXT CHECK (seeded_at <> '')
  ) STRICT`,
  "INSERT INTO meta (id, revision) VALUES (1, 0)",
  `CREATE TABLE listeners (
    id INTEGER PRIMARY KEY,
    addr TEXT NOT NULL UNIQUE CHECK (addr GLOB '*:[0-9]*'),
    proxy_protocol INTEGER NOT NULL CHECK (proxy_protocol IN (0, 1)),
    trusted_proxies TEXT NOT NULL CHECK (json_valid(trusted_proxies) AND json_type(trusted_proxies) = 'array'),
    max_connections INTEGER NOT NULL CHECK (max_connections BETWEEN 0 AND ${CONNECTIONS_MAX})
  ) STRICT`,
  `CREATE TABLE routes (
    id INTEGER PRIMARY KEY,
    listener_id INTEGER NOT NULL REFERENCES listeners (id) ON DELETE CASCADE,
    hostname TEXT NOT NULL CHECK (
      length(hostname) BETWEEN 1 AND ${HOSTNAME_LENGTH_MAX} AND hostname NOT GLOB '*[^a-z0-9._-]*' AND hostname NOT GLOB '*.'
    ),
    backend TEXT NOT NULL CHECK (backend GLOB '?*:[0-9]*'),
    mode TEXT NOT NULL CHECK (mode IN ('l4', 'l7')),
    send_proxy_protocol INTEGER NOT NULL CHECK (send_proxy_protocol IN (0, 1)),
    tls_cert TEXT CHECK (tls_cert <> ''),
    tls_key TEXT CHECK (tls_key <> ''),
    backend_protocol TEXT CHECK (backend_protocol IN ('h2', 'http/1.1')),
    backend_tls INTEGER CHECK (backend_tls IN (0, 1)),
    backend_ca TEXT,
    backend_server_name TEXT,
    UNIQUE (listener_id, hostname),
    UNIQUE (id, mode),
    CHECK (iif(mode = 'l7',
      tls_cert IS NOT NULL AND tls_key IS NOT NULL AND backend_protocol IS NOT NULL
        AND backend_tls IS NOT NULL AND backend_ca IS NOT NULL AND backend_server_name IS NOT NULL,
      coalesce(tls_cert, tls_key, backend_protocol, backend_tls, backend_ca, backend_server_name) IS NULL
    )),
    CHECK (backend_tls = 1 OR (backend_ca = '' AND backend_server_name = ''))
  ) STRICT`,
  // The mode is here for the foreign key alone: a policy belongs to an L7 route.
  `CREATE TABLE l7_policies (
    id INTEGER PRIMARY KEY,
    route_id INTEGER NOT NULL,
    mode TEXT NOT NULL DEFAULT 'l7' CHECK (mode = 'l7'),
    position INTEGER NOT NULL CHECK (position >= 0),
    type TEXT NOT NULL CHECK (type IN ('block_user_agent', 'require_header')),
    value TEXT NOT NULL COLLATE NOCASE CHECK (length(value) BETWEEN 1 AND 1024),
    UNIQUE (route_id, position),
    UNIQUE (route_id, type, value),
    FOREIGN KEY (route_id, mode) REFERENCES routes (id, mode) ON DELETE CASCADE
  ) STRICT`,
  `CREATE TABLE firewall_rules (
    id INTEGER PRIMARY KEY,
    type TEXT NOT NULL CHECK (type IN ('ip', 'cidr', 'country')),
    value TEXT NOT NULL,
    UNIQUE (type, value),
    CHECK (CASE type
      WHEN 'ip' THEN value NOT GLOB '*[^0-9a-f.:]*' AND value <> ''
      WHEN 'cidr' THEN value GLOB '?*/[0-9]*' AND value NOT GLOB '*[^0-9a-f.:/]*'
      ELSE value GLOB '[A-Z][A-Z]'
    END)
  ) STRICT`
]

const MIGRATIONS = { "1_create": create }

/** What this program knows; a database with more is of a newer one. */
export const SCHEMA_VERSION = Object.keys(MIGRATIONS).length

/** Brings the database up to `SCHEMA_VERSION`, in one transaction. */
export const migrate = SqliteMigrator.run({ loader: SqliteMigrator.fromRecord(MIGRATIONS), table: MIGRATIONS_TABLE })
