/** Reads the text of a config file, or says in one sentence why there is none. */
import { isUtf8 } from "node:buffer"
import { Effect, FileSystem, type PlatformError } from "effect"
import { ConfigError } from "./ConfigError.ts"

export const readConfigFile = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<string, ConfigError, FileSystem.FileSystem> {
  const fail = (message: string) => new ConfigError({ file, problems: [{ path: "", message }] })
  const fileSystem = yield* FileSystem.FileSystem
  const info = yield* fileSystem.stat(file).pipe(Effect.mapError((error) => fail(reasonOf(error))))
  if (info.type === "Directory") return yield* fail("is a directory; give the config file in it")
  if (info.type !== "File" && info.type !== "FIFO") return yield* fail("is no file that could hold a config")
  if (info.size > FILE_BYTES_MAX) return yield* fail(`has over ${FILE_BYTES_MAX} bytes; is it the config?`)
  const bytes = yield* fileSystem.readFile(file).pipe(Effect.mapError((error) => fail(reasonOf(error))))
  if (!isUtf8(bytes)) return yield* fail(`line ${firstBadLine(bytes)} is not UTF-8; save the file as UTF-8`)
  return new TextDecoder().decode(bytes)
})

/** Why a file could not be read, and what to do. */
export const reasonOf = ({ reason }: PlatformError.PlatformError): string => {
  if (reason._tag === "NotFound") return "no such file; check the path"
  if (reason._tag === "PermissionDenied") return "permission denied; let the user that runs mc-proxy read it"
  return "description" in reason && reason.description ? `cannot be read: ${reason.description}` : "cannot be read"
}

/** No sequence of UTF-8 holds a line feed, so each line is good or bad for itself. */
const firstBadLine = (bytes: Uint8Array): number => {
  let line = 1
  let start = 0
  while (true) {
    const end = bytes.indexOf(LINE_FEED, start)
    if (end < 0 || !isUtf8(bytes.subarray(start, end))) return line
    start = end + 1
    line++
  }
}

const LINE_FEED = 10
/** A hundred thousand firewall rules take two or three. */
export const FILE_BYTES_MAX = 16 * 1024 * 1024
