/** Reads the text of a config file, or says in one sentence why there is none. */
import { isUtf8 } from "node:buffer"
import { Effect, type FileSystem } from "effect"
import { readBoundedFile } from "./BoundedFile.ts"
import { ConfigError } from "./ConfigError.ts"

export const readConfigFile = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<string, ConfigError, FileSystem.FileSystem> {
  const fail = (message: string) => new ConfigError({ file, problems: [{ path: "", message }] })
  const bytes = yield* Effect.mapError(readBoundedFile(file, FILE_BYTES_MAX), fail)
  if (!isUtf8(bytes)) return yield* fail(`line ${firstBadLine(bytes)} is not UTF-8; save the file as UTF-8`)
  return new TextDecoder().decode(bytes)
})

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
