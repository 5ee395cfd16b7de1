/**
 * Opens database files: for one server alone, or to be read beside it.
 *
 * A file is looked at through a read-only connection before any other, so that one that is corrupt, of a newer version
 * or of another program is refused and stays as it is, byte for byte. What is opened is closed with the scope.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Effect, FileSystem, Layer, type PlatformError, type Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, SqlError } from "effect/sql"
import { DatabaseSync } from "node:sqlite"
import { PRIVATE_FILE_MODE } from "./PrivateFile.ts"
import type { Database } from "./Database.ts"
import { DatabaseError, DatabaseInUse, SQLITE_BUSY, SQLITE_CORRUPT, sqliteProblem } from "./DatabaseError.ts"
import { APPLICATION_ID, migrate, MIGRATIONS_TABLE, SCHEMA_VERSION } from "./Migrations.ts"

/**
 * Takes a database for this process alone, and makes it where there is none; answers its path behind symbolic links.
 * The lock goes with the scope, or with the process, however that ends. Readers are not kept out.
 */
export const claim = Effect.fn("DatabaseFile.claim")(function* (
  file: string
): Effect.fn.Return<string, DatabaseError | DatabaseInUse, FileSystem.FileSystem | Scope.Scope> {
  const fileSystem = yield* FileSystem.FileSystem
  yield* createIfMissing(file)
  const real = yield* fileSystem.realPath(file).pipe(refusing(file))
  const lockFile = `${real}-lock`
  yield* createIfMissing(lockFile)
  yield* Effect.acquireRelease(
    Effect.try({ try: () => lock(lockFile), catch: (error) => lockError(error, file, lockFile) }),
    (connection) => Effect.sync(() => connection.close())
  )
  return real
})

/** SQLite's own lock on an empty file: held by the operating system, on any file system that the database is fit for. */
const lock = (file: string): DatabaseSync => {
  const connection = new DatabaseSync(file, { timeout: LOCK_TIMEOUT_MS })
  try {
    // Nothing is ever written, so that no journal has to stand beside it.
    connection.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

const lockError = (error: unknown, file: string, lockFile: string): DatabaseError | DatabaseInUse => {
  const { code, message } = sqliteProblem(error)
  return code === SQLITE_BUSY ? new DatabaseInUse({ file }) : DatabaseError.of(lockFile, message)
}

/** Two that ask at the same time hinder each other for some microseconds. */
const LOCK_TIMEOUT_MS = 200

/** Opens a claimed database, checks it, and brings its schema up to date. */
export const layer = (file: string): Layer.Layer<Database, DatabaseError> =>
  layerOf(
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.flatMap(connect(file, { readonly: true }), (client) => inspect(file, client)))
      const client = yield* connectToWrite(file)
      yield* migrate.pipe(
        Effect.provideService(SqlClient.SqlClient, client),
        Effect.mapError((error) => DatabaseError.of(file, problemOf(error._tag === "SqlError" ? error : error.cause)))
      )
      return client
    })
  )

/** Opens a database that this process has claimed and checked before. */
export const layerChecked = (file: string): Layer.Layer<Database, DatabaseError> => layerOf(connectToWrite(file))

/** Opens a database to be read, whoever else has it open. It must be there, and of this version. */
export const layerReadOnly = (file: string): Layer.Layer<Database, DatabaseError, FileSystem.FileSystem> =>
  layerOf(
    Effect.gen(function* () {
      const { client, version } = yield* connectToRead(file)
      if (version < SCHEMA_VERSION) return yield* DatabaseError.of(file, OLDER)
      return client
    })
  )

/** Whether nobody has made tables in the file yet; fails for one that cannot be a database of this program's. */
export const isEmpty = (file: string): Effect.Effect<boolean, DatabaseError, FileSystem.FileSystem> =>
  Effect.scoped(Effect.map(connectToRead(file), ({ version }) => version === 0))

const connectToRead = Effect.fnUntraced(function* (file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  yield* fileSystem.access(file, { readable: true }).pipe(refusing(file))
  const client = yield* connect(file, { readonly: true })
  return { client, version: yield* inspect(file, client) }
})

const layerOf = <R>(client: Effect.Effect<SqliteClient.SqliteClient, DatabaseError, R>) =>
  Layer.effectContext(
    Effect.map(client, (opened) =>
      Context.make(SqliteClient.SqliteClient, opened).pipe(Context.add(SqlClient.SqlClient, opened))
    )
  )

const connectToWrite = Effect.fnUntraced(function* (file: string) {
  const client = yield* connect(file, {})
  yield* Effect.all([
    client`PRAGMA busy_timeout = ${client.literal(String(BUSY_TIMEOUT_MS))}`,
    // What was answered survives the loss of power.
    client`PRAGMA synchronous = FULL`,
    client`PRAGMA foreign_keys = ON`
  ]).pipe(Effect.mapError((error) => DatabaseError.of(file, problemOf(error))))
  return client
})

/** Who else writes is a person with a tool; longer than that, and the caller had better know. */
const BUSY_TIMEOUT_MS = 5000

const OLDER = "is empty, or of an older version; start the proxy on it once"

const connect = (file: string, options: { readonly readonly?: boolean }) =>
  SqliteClient.make({ filename: file, disableWAL: options.readonly === true, ...options }).pipe(
    Effect.provide(Reactivity.layer),
    // The library opens the file where only a defect can tell that it failed.
    Effect.catchDefect((error) => Effect.fail(DatabaseError.of(file, sqliteProblem(error).message)))
  )

/** The schema's version, 0 for an empty database; fails for one that is not to be written. */
const inspect = (file: string, client: SqliteClient.SqliteClient) =>
  Effect.gen(function* () {
    const [damage] = yield* client<{ readonly quick_check: string }>`PRAGMA quick_check(1)`
    if (damage?.quick_check !== "ok")
      return yield* DatabaseError.of(file, sqliteProblem({ errcode: SQLITE_CORRUPT }).message)
    const tables = yield* client<{ readonly name: string }>`SELECT name FROM sqlite_schema`
    if (tables.length === 0) return 0
    const [application] = yield* client<{ readonly application_id: number }>`PRAGMA application_id`
    if (application?.application_id !== APPLICATION_ID) return yield* DatabaseError.of(file, FOREIGN)
    const [latest] = yield* client<{ readonly version: number | null }>`SELECT max(migration_id) AS version
      FROM ${client(MIGRATIONS_TABLE)}`
    const version = latest?.version ?? 0
    if (version > SCHEMA_VERSION) return yield* DatabaseError.of(file, newer(version))
    return version
  }).pipe(Effect.catchTag("SqlError", (error) => DatabaseError.of(file, problemOf(error))))

const FOREIGN = "is a database of another program; set database.path to a file of mc-proxy's own"

const newer = (version: number): string =>
  `is of a newer mc-proxy (schema ${version}, and this one knows ${SCHEMA_VERSION}); run that one, or restore a snapshot of an older one`

const problemOf = (error: unknown): string =>
  sqliteProblem(SqlError.isSqlError(error) ? error.reason.cause : error).message

/** An empty file, which SQLite takes for a new database. Its mode is what the files beside it get, too. */
const createIfMissing = Effect.fnUntraced(function* (file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const info = yield* fileSystem.stat(file).pipe(
    Effect.catchReason("PlatformError", "NotFound", () =>
      Effect.andThen(
        Effect.scoped(fileSystem.open(file, { flag: "a", mode: PRIVATE_FILE_MODE })),
        fileSystem.stat(file)
      )
    ),
    refusing(file)
  )
  if (info.type === "Directory")
    return yield* DatabaseError.of(file, "is a directory; set database.path to a file in it")
  if (info.type !== "File") return yield* DatabaseError.of(file, "is no regular file; set database.path to one")
  yield* fileSystem.access(file, { readable: true, writable: true }).pipe(refusing(file))
})

/** The operating system's reasons, in this program's words. */
const refusing =
  (file: string) =>
  <A, R>(effect: Effect.Effect<A, PlatformError.PlatformError, R>): Effect.Effect<A, DatabaseError, R> =>
    Effect.mapError(effect, ({ reason }) => {
      if (reason._tag === "NotFound")
        return DatabaseError.of(file, "cannot be made or found; check the path and its folder")
      if (reason._tag === "PermissionDenied") {
        return DatabaseError.of(
          file,
          "permission denied; let the user that runs mc-proxy read and write the file and its folder"
        )
      }
      return DatabaseError.of(file, `cannot be used (${reason.description ?? reason._tag})`)
    })
