/** A new file for its owner alone, which is there whole or not at all. */
import { Data, Effect, FileSystem, Path, type PlatformError } from "effect"
import { PRIVATE_FILE_MODE } from "../store/PrivateFile.ts"

/** Takes the place of another file only when `overwrite` says so. */
export const writePrivateCopy = Effect.fnUntraced(
  function* (file: string, text: string, overwrite: boolean) {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    // In a folder of its own, which goes whatever happens, and beside the file, so that a link can reach it.
    const own = yield* fileSystem.makeTempDirectoryScoped({ directory: path.dirname(file), prefix: ".new-" })
    const fresh = path.join(own, path.basename(file))
    const opened = yield* fileSystem.open(fresh, { flag: "wx", mode: PRIVATE_FILE_MODE })
    yield* opened.writeAll(new TextEncoder().encode(text))
    yield* opened.sync
    // Unlike a rename, a link fails where the name is taken.
    yield* overwrite ? fileSystem.rename(fresh, file) : fileSystem.link(fresh, file)
  },
  Effect.scoped,
  (writing, file) => Effect.mapError(writing, (error) => new Unwritten({ message: `${file}: ${refusalOf(error)}` }))
)

/** `message` names the file, and says what to do. */
export class Unwritten extends Data.TaggedError("Unwritten")<{ readonly message: string }> {}

const refusalOf = ({ reason }: PlatformError.PlatformError): string => {
  if (reason._tag === "AlreadyExists") return "exists already; give another path, or --overwrite"
  if (reason._tag === "NotFound") return "no such folder; make it first"
  if (reason._tag === "PermissionDenied") return "permission denied; give a path in a folder that you may write"
  return `cannot be written (${reason.description ?? reason._tag})`
}
