/** Files in memory, which can be read and nothing else. */
import { ByteSize, Effect, FileSystem, type Layer, Option, PlatformError } from "effect"

/** By path. */
export const layerFiles = (files: ReadonlyMap<string, string> = new Map()): Layer.Layer<FileSystem.FileSystem> => {
  const contentOf = (method: string, path: string) =>
    Effect.suspend(() => {
      const content = files.get(path)
      return content === undefined ? Effect.fail(notFound(method, path)) : Effect.succeed(Buffer.from(content))
    })
  return FileSystem.layerNoop({
    stat: (path) => Effect.map(contentOf("stat", path), ({ length }) => infoOf(length)),
    readFile: (path) => contentOf("readFile", path)
  })
}

const notFound = (method: string, pathOrDescriptor: string) =>
  PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method, pathOrDescriptor })

const infoOf = (bytes: number): FileSystem.File.Info => ({
  type: "File",
  size: ByteSize.bytes(bytes),
  mode: 0o444,
  dev: 0n,
  mtime: Option.none(),
  atime: Option.none(),
  birthtime: Option.none(),
  ino: Option.none(),
  nlink: Option.none(),
  uid: Option.none(),
  gid: Option.none(),
  rdev: Option.none(),
  blksize: Option.none(),
  blocks: Option.none()
})
