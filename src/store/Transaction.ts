/**
 * One transaction of SQLite: what succeeds is on the disk, and what fails is undone.
 *
 * Effect's own dies where SQLite has rolled back before it is told to, as it does when a disk fails or is full. It does
 * not tell a COMMIT that failed, of which the result may be unknown, from a statement that did, either.
 */
import { Data, Effect } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { SQLITE_BUSY, SQLITE_CONSTRAINT, SQLITE_FULL, SQLITE_READONLY, sqliteProblem } from "./DatabaseError.ts"

/** SQLite has refused. */
export class TransactionFailed extends Data.TaggedError("TransactionFailed")<{
  /** The end of a sentence that begins with the database. */
  readonly problem: string
  /** Whether it is certain that nothing was changed. */
  readonly certain: boolean
  /** Whether other programs have kept it from beginning, for as long as it waits. */
  readonly locked: boolean
}> {}

/** Sees everything as it was at one moment. */
export const read = <A, E, R>(effect: Effect.Effect<A, E | SqlError.SqlError, R>) => transaction("BEGIN", effect)

/** Waits for other writers before it begins. */
export const write = <A, E, R>(effect: Effect.Effect<A, E | SqlError.SqlError, R>) =>
  transaction("BEGIN IMMEDIATE", effect)

const transaction = <A, E, R>(begin: string, effect: Effect.Effect<A, E | SqlError.SqlError, R>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const connection = yield* Effect.mapError(sql.reserve, statementFailed)
    const control = (statement: string) => connection.execute(statement, [], undefined)
    yield* Effect.mapError(control(begin), statementFailed)
    return yield* Effect.provideService(effect, sql.transactionService, [connection, 0]).pipe(
      Effect.catchIf(SqlError.isSqlError, (error) => Effect.fail(statementFailed(error))),
      Effect.tap(() => Effect.mapError(control("COMMIT"), commitFailed)),
      // Where SQLite has rolled back by itself this fails, and says nothing new.
      Effect.onError(() => Effect.ignore(control("ROLLBACK")))
    )
  }).pipe(Effect.scoped)

const statementFailed = ({ reason }: SqlError.SqlError): TransactionFailed => {
  const { code, message } = sqliteProblem(reason.cause)
  return new TransactionFailed({ problem: message, certain: true, locked: code === SQLITE_BUSY })
}

const commitFailed = ({ reason }: SqlError.SqlError): TransactionFailed => {
  const { code, message } = sqliteProblem(reason.cause)
  const certain = code !== undefined && BEFORE_COMMITTING.has(code)
  return new TransactionFailed({ problem: message, certain, locked: code === SQLITE_BUSY })
}

/**
 * The failures of a COMMIT that come before the record that makes it one is written. After others, as one to synchronise
 * the disk, a restart may find it.
 */
const BEFORE_COMMITTING: ReadonlySet<number> = new Set([SQLITE_BUSY, SQLITE_READONLY, SQLITE_FULL, SQLITE_CONSTRAINT])
