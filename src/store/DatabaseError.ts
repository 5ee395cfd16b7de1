/**
 * Why a database cannot be used, as its operator reads it, and the words for what SQLite reports.
 *
 * Every message names the file and ends in what to do.
 */
import { Option, Schema } from "effect"
import { ConfigProblem, formatProblems } from "../config/ConfigError.ts"

/** A database that cannot be used, with every reason there is. `message` is the whole report. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  file: Schema.String,
  /** `path` names a row, or is empty for the file as a whole. */
  problems: Schema.Array(ConfigProblem)
}) {
  /** About the file as a whole; `problem` is the end of a sentence. */
  static of(file: string, problem: string): DatabaseError {
    return new DatabaseError({ file, problems: [{ path: "", message: problem }] })
  }

  override get message(): string {
    return formatProblems(this.file, this.problems)
  }
}

/** Another process serves this database, and has its lock. */
export class DatabaseInUse extends Schema.TaggedError<DatabaseInUse>()("DatabaseInUse", { file: Schema.String }) {
  override get message(): string {
    return `${this.file}: another mc-proxy is running on this database; stop that one first, or give this one a database.path of its own`
  }
}

/** SQLite's result code, where there is one, and the end of a sentence that begins with the database. */
export const sqliteProblem = (error: unknown): { readonly code: number | undefined; readonly message: string } => {
  const code = Option.getOrUndefined(Option.map(decodeSqliteCause(error), ({ errcode }) => errcode & PRIMARY_CODE_MASK))
  const known = code === undefined ? undefined : PROBLEMS[code]
  return { code, message: known ?? `reports: ${error instanceof Error ? error.message : String(error)}` }
}

const decodeSqliteCause = Schema.decodeUnknownOption(Schema.Struct({ errcode: Schema.Number }))

/** An extended result code has the primary one in its lowest byte. */
const PRIMARY_CODE_MASK = 0xff

/** SQLite's primary result codes, as far as they are told apart. */
export const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
export const SQLITE_READONLY = 8
const SQLITE_IOERR = 10
export const SQLITE_CORRUPT = 11
export const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14
export const SQLITE_CONSTRAINT = 19
const SQLITE_NOTADB = 26

const LOCKED = "is locked by another program; end that one, or wait for it"

const PROBLEMS: Readonly<Record<number, string>> = {
  [SQLITE_BUSY]: LOCKED,
  [SQLITE_LOCKED]: LOCKED,
  [SQLITE_READONLY]: "is read-only; let the user that runs mc-proxy write the file and its folder",
  [SQLITE_IOERR]: "cannot be read or written (disk I/O error); check the disk and its file size limits",
  [SQLITE_CORRUPT]:
    "is corrupt, and was left as it is; restore a snapshot in its place, or move it away to start anew from the config file",
  [SQLITE_FULL]: "cannot grow, because the disk is full; make room",
  [SQLITE_CANTOPEN]: "cannot be opened; let the user that runs mc-proxy read and write the file and its folder",
  [SQLITE_NOTADB]:
    "is no SQLite database, or a corrupt one, and was left as it is; restore a snapshot in its place, or move it away to start anew from the config file"
}
