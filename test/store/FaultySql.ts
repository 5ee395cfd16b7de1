/** SQL on a real database, of which one statement fails. */
import { Effect, Layer } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, SqlError, Statement, type SqlConnection } from "effect/sql"

export interface Fault {
  /** Counted from 0, with what begins and ends the transaction. */
  readonly at: number
  /**
   * `refused`: the statement is not run. `undone`: neither, and SQLite has rolled back by itself. `done`: it is run, and
   * fails for all that.
   */
  readonly kind: "refused" | "undone" | "done"
  /** As SQLite numbers it. */
  readonly code: number
}

export interface FaultySql {
  /** What was run so far, or would have been. */
  readonly statements: ReadonlyArray<string>
  readonly layer: Layer.Layer<SqlClient.SqlClient>
}

/** Takes the database's one connection for as long as the scope lasts. */
export const faultySql = Effect.fnUntraced(function* (fault?: Fault) {
  const connection = yield* (yield* SqlClient.SqlClient).reserve
  const statements: Array<string> = []
  const rollback = Effect.ignore(connection.execute("ROLLBACK", [], undefined))
  const execute: SqlConnection.Connection["execute"] = (sql, ...rest) => {
    const real = connection.execute(sql, ...rest)
    const at = statements.push(sql) - 1
    if (at !== fault?.at) return real
    const first = { refused: Effect.void, undone: rollback, done: real }[fault.kind]
    return Effect.andThen(first, Effect.fail(errorOf(fault.code)))
  }
  const client = SqlClient.make({
    acquirer: Effect.succeed({ ...connection, execute, executeUnprepared: execute }),
    compiler: Statement.makeCompilerSqlite(),
    driver: "sqlite",
    spanAttributes: []
  })
  const layer = Layer.effect(SqlClient.SqlClient, client).pipe(Layer.provide(Reactivity.layer))
  return { statements, layer } satisfies FaultySql
})

const errorOf = (errcode: number): SqlError.SqlError =>
  new SqlError.SqlError({
    reason: SqlError.classifySqliteError(Object.assign(new Error("a fault of the test's"), { errcode, errno: errcode }))
  })
