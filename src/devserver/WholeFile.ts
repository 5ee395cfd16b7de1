/**
 * Files that are there whole or not at all, whenever the writing stops, and that never take the place of another.
 */
import { DateTime, Effect, FileSystem, type Option, Path, type PlatformError, type Scope } from "effect"

/** Everyone may read it. */
export const PUBLIC_FILE_MODE = 0o644

/** Writes beside `file` and renames. What had that name gets another one beside it, with the time. */
export const writeWhole = Effect.fnUntraced(function* (
  file: string,
  text: string,
  mode: number
): Effect.fn.Return<void, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  // In a folder of its own: nobody else can have or guess the name, and it goes whatever happens.
  const folder = yield* fileSystem.makeTempDirectoryScoped({ directory: path.dirname(file), prefix: ".new-" })
  const fresh = path.join(folder, path.basename(file))
  yield* fileSystem.writeFileString(fresh, text, { flag: "wx", mode })
  const now = yield* DateTime.nowAsDate
  const aside = `${file}.replaced-${now.toISOString().replace(/[:.]/g, "-")}`
  yield* Effect.catchReason(fileSystem.rename(file, aside), "PlatformError", "NotFound", () => Effect.void)
  yield* fileSystem.rename(fresh, file)
}, Effect.scoped)

/** None when there is no such file. */
export const readIfThere = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<Option.Option<string>, PlatformError.PlatformError, FileSystem.FileSystem> {
  const fileSystem = yield* FileSystem.FileSystem
  const read = Effect.asSome(fileSystem.readFileString(file))
  return yield* Effect.catchReason(read, "PlatformError", "NotFound", () => Effect.succeedNone)
})
