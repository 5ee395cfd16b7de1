/** Reads a whole file that should be small; what should not is told from one that is missing or not to be read. */
import { Effect, FileSystem, type PlatformError } from "effect"

/** The bytes of a file of at most `bytesMax`; fails with the end of a sentence that begins with its path. */
export const readBoundedFile = Effect.fnUntraced(function* (
  file: string,
  bytesMax: number
): Effect.fn.Return<Uint8Array, string, FileSystem.FileSystem> {
  const fileSystem = yield* FileSystem.FileSystem
  const info = yield* Effect.mapError(fileSystem.stat(file), reasonOf)
  if (info.type === "Directory") return yield* Effect.fail("is a directory; write the path of the file in it")
  // A pipe ends when its writer does; a device may never.
  if (info.type !== "File" && info.type !== "FIFO") return yield* Effect.fail("is no regular file")
  if (info.size > bytesMax) return yield* Effect.fail(`has over ${bytesMax} bytes; is it the right file?`)
  return yield* Effect.mapError(fileSystem.readFile(file), reasonOf)
})

const reasonOf = ({ reason }: PlatformError.PlatformError): string => {
  if (reason._tag === "NotFound") return "no such file; check the path"
  if (reason._tag === "PermissionDenied") return "permission denied; let the user that runs mc-proxy read it"
  return `cannot be read (${reason.description ?? reason._tag})`
}
