/**
 * Consistent copies of a database, taken while a proxy runs on it or not.
 *
 * A copy is there whole or not at all, never takes the place of another file, and only its owner may read it.
 */
import { ByteSize, Effect, FileSystem, Path, type PlatformError, Schema, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { copyName } from "./CopyName.ts"
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "./PrivateFile.ts"
import { DatabaseError, sqliteProblem } from "./DatabaseError.ts"
import * as DatabaseFile from "./DatabaseFile.ts"

/** `backups/mc-proxy-<UTC time>.db` beside the database. */
export const defaultTarget = Effect.fnUntraced(function* (file: string) {
  const path = yield* Path.Path
  return path.join(path.dirname(file), "backups", yield* copyName)
})

/** There is a file already where the copy was to be, and it is left as it is. */
export class AlreadyThere extends Schema.TaggedError<AlreadyThere>()("AlreadyThere", { file: Schema.String }) {
  override get message(): string {
    return `${this.file}: exists already, and nothing is overwritten`
  }
}

/** Copies `file` to `target`, whose folder is made where it is missing; answers how many bytes the copy has. */
export const copyDatabase = (file: string, target: string) =>
  // Opened first, so that nothing is made for a database that cannot be copied.
  Effect.provide(copyOpened(target), DatabaseFile.layerReadOnly(file)).pipe(
    Effect.scoped,
    Effect.withSpan("copyDatabase")
  )

const copyOpened = Effect.fnUntraced(function* (
  target: string
): Effect.fn.Return<
  number,
  AlreadyThere | DatabaseError,
  FileSystem.FileSystem | Path.Path | Scope.Scope | SqlClient.SqlClient
> {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = path.dirname(target)
  const refusing = Effect.mapError((error: PlatformError.PlatformError) => DatabaseError.of(target, refusalOf(error)))
  yield* makeFolder(folder).pipe(refusing)
  // In a folder of its own, which goes whatever happens, and beside the target, so that a link can reach it.
  const own = yield* fileSystem.makeTempDirectoryScoped({ directory: folder, prefix: ".new-" }).pipe(refusing)
  const fresh = path.join(own, path.basename(target))
  const opened = yield* fileSystem.open(fresh, { flag: "wx+", mode: PRIVATE_FILE_MODE }).pipe(refusing)
  yield* vacuumInto(fresh)
  yield* opened.sync.pipe(refusing)
  const { size } = yield* opened.stat.pipe(refusing)
  // Unlike a rename, a link fails where the name is taken.
  yield* fileSystem.link(fresh, target).pipe(
    Effect.catchReason("PlatformError", "AlreadyExists", () => Effect.fail(new AlreadyThere({ file: target }))),
    Effect.catchTag("PlatformError", (error) => Effect.fail(DatabaseError.of(target, refusalOf(error))))
  )
  return ByteSize.toNumberUnsafe(size)
})

/**
 * With those above it. Node's own way tries for ever where a folder exists and takes no other (`/proc`), at the cost of a
 * processor.
 */
const makeFolder: (
  folder: string
) => Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function* (folder) {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (yield* fileSystem.exists(folder)) return
    yield* makeFolder(path.dirname(folder))
    const made = fileSystem.makeDirectory(folder, { mode: PRIVATE_FOLDER_MODE })
    // Another may make it at the same time.
    yield* Effect.catchReason(made, "PlatformError", "AlreadyExists", () => Effect.void)
  }
)

/** SQLite writes into an empty file that is there already, and keeps its mode. */
const vacuumInto = Effect.fnUntraced(function* (target: string) {
  const sql = yield* SqlClient.SqlClient
  yield* Effect.mapError(sql`VACUUM INTO ${target}`, ({ reason }) =>
    DatabaseError.of(target, sqliteProblem(reason.cause).message)
  )
})

const refusalOf = ({ reason }: PlatformError.PlatformError): string =>
  reason._tag === "PermissionDenied"
    ? "permission denied; give a path in a folder that the user that runs mc-proxy may write"
    : `cannot be written (${reason.description ?? reason._tag}); give another path`
