/**
 * The admin API's Unix socket as a file: for its owner alone from the first moment, never taken from a proxy that
 * answers on it, and put in the place of one that was left behind.
 *
 * The socket is made in a private folder beside its path and linked into place, so that it is never seen with another
 * mode, and of two who do so at once one wins. The scope owns it, and removes the file if it is still its own.
 */
import { Effect, Schema, type Scope } from "effect"
import type { Stats } from "node:fs"
import { chmod, link, lstat, mkdtemp, rename, rm } from "node:fs/promises"
import { connect, createServer, type Server, type Socket } from "node:net"
import { dirname, join } from "node:path"
import { PRIVATE_FILE_MODE } from "../store/PrivateFile.ts"

/** `message` names the socket, and says what to do. */
export class AdminSocketError extends Schema.TaggedError<AdminSocketError>()("AdminSocketError", {
  message: Schema.String
}) {}

/**
 * Gives every connection to `onConnection`, and those over `CONNECTIONS_MAX` a closed door. When the scope closes, the
 * file goes first, and nobody new is let in; connections that are open are whose they were given to.
 */
export const listen = Effect.fnUntraced(function* (
  path: string,
  onConnection: (socket: Socket) => void
): Effect.fn.Return<void, AdminSocketError, Scope.Scope> {
  yield* checkLength(path)
  yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => bind(path, onConnection), catch: (error) => bindProblem(path, error) }),
    ({ file, server }) =>
      Effect.promise(async () => {
        if (await isStill(path, file)) await rm(path, { force: true })
        server.close()
      })
  )
})

/**
 * Fails where `listen` would, for as much as can be told without making anything: so that a proxy that cannot have its
 * socket has not yet listened for clients when it says so.
 */
export const checkFree = Effect.fnUntraced(function* (path: string): Effect.fn.Return<void, AdminSocketError> {
  yield* checkLength(path)
  const there = yield* Effect.tryPromise({
    try: () => whatIsAt(path),
    catch: (error) => bindProblem(path, error)
  })
  if (there === "live") return yield* problemWith(path, IN_USE)
})

/** Tools and watchers, with room; each may hold a message in memory, and all fit the reserve of descriptors. */
export const CONNECTIONS_MAX = 64

/** `sun_path` of Linux has 108 bytes, the last of them zero. */
const PATH_BYTES_MAX = 107

/** The private folder, with six characters by `mkdtemp`, and the socket in it. */
const PRIVATE_FOLDER = ".mc-"
const PRIVATE_NAME = "s"
const FOLDER_BYTES_MAX = PATH_BYTES_MAX - `/${PRIVATE_FOLDER}XXXXXX/${PRIVATE_NAME}`.length

const checkLength = (path: string): Effect.Effect<void, AdminSocketError> => {
  const tooLong = (what: string, bytes: number, max: number) =>
    Effect.fail(
      problemWith(path, `${what} has ${bytes} bytes, and a Unix socket's may have ${max}; choose a shorter one`)
    )
  const pathBytes = Buffer.byteLength(path)
  if (pathBytes > PATH_BYTES_MAX) return tooLong("its path", pathBytes, PATH_BYTES_MAX)
  const folderBytes = Buffer.byteLength(dirname(path))
  return folderBytes > FOLDER_BYTES_MAX ? tooLong("its folder's path", folderBytes, FOLDER_BYTES_MAX) : Effect.void
}

const bind = async (path: string, onConnection: (socket: Socket) => void) => {
  const folder = await mkdtemp(join(dirname(path), PRIVATE_FOLDER))
  try {
    const made = join(folder, PRIVATE_NAME)
    const server = await listenOn(made, onConnection)
    try {
      await chmod(made, PRIVATE_FILE_MODE)
      await putInPlace(made, path, folder)
      return { server, file: await lstat(made) }
    } catch (error) {
      server.close()
      throw error
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const listenOn = (path: string, onConnection: (socket: Socket) => void): Promise<Server> =>
  new Promise((resolve, reject) => {
    // A client of HTTP/1.1 may end its side and wait for the answer.
    const server = createServer({ allowHalfOpen: true }, onConnection)
    server.maxConnections = CONNECTIONS_MAX
    // What a later error concerns is one connection that could not be accepted.
    server.on("error", reject)
    server.listen(path, () => resolve(server))
  })

/** Fails when somebody lives at `path`. What is dead there is moved aside before it is removed: it may be new by then. */
const putInPlace = async (made: string, path: string, folder: string): Promise<void> => {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (await tryLink(made, path)) return
    const there = await whatIsAt(path)
    if (there === "live") throw problemWith(path, IN_USE)
    if (there === "nothing") continue
    const aside = join(folder, "aside")
    await rename(path, aside).catch(ignoreMissing)
    if ((await whatIsAt(aside)) === "live") {
      await tryLink(aside, path)
      throw problemWith(path, IN_USE)
    }
    await rm(aside, { force: true })
  }
  throw problemWith(path, IN_USE)
}

/** Each attempt fails only by what another process does at that moment. */
const ATTEMPTS_MAX = 5

/** False when there is something already. */
const tryLink = (from: string, to: string): Promise<boolean> =>
  link(from, to).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === "EEXIST") return false
      throw error
    }
  )

/** Throws for what is not to be replaced, whether somebody answers or not. */
const whatIsAt = async (path: string): Promise<"nothing" | "dead" | "live"> => {
  const stats = await lstat(path).catch(ignoreMissing)
  if (stats === undefined) return "nothing"
  if (!stats.isSocket()) throw problemWith(path, NO_SOCKET)
  const code = await probe(path)
  // EAGAIN: it has a queue of others who want to connect.
  if (code === undefined || code === "EAGAIN") return "live"
  if (code === "ECONNREFUSED") return "dead"
  if (code === "ENOENT") return "nothing"
  throw problemWith(path, `there is a socket that cannot be tried (${code}); remove it, or set another grpc.addr`)
}

/** Why nobody could be reached; `undefined` when somebody was. */
const probe = (path: string): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket = connect(path)
    socket.once("connect", () => {
      socket.destroy()
      resolve(undefined)
    })
    socket.once("error", (error) => resolve(codeOf(error)))
  })

const isStill = async (path: string, file: Stats): Promise<boolean> => {
  const now = await lstat(path).catch(() => undefined)
  return now !== undefined && now.ino === file.ino && now.dev === file.dev
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : String(error)

const ignoreMissing = (error: unknown): undefined => {
  if (codeOf(error) !== "ENOENT") throw error
}

const problemWith = (path: string, problem: string) =>
  new AdminSocketError({ message: `admin socket ${path}: ${problem}` })

const bindProblem = (path: string, error: unknown): AdminSocketError =>
  error instanceof AdminSocketError
    ? error
    : problemWith(path, PROBLEMS[codeOf(error)] ?? `cannot be made (${codeOf(error)})`)

const IN_USE = "a running mc-proxy answers on it; stop that one first, or set another grpc.addr"
const NO_SOCKET = "there is a file that is no socket; remove it, or set another grpc.addr"

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "its folder does not exist; make it, or set another grpc.addr",
  ENOTDIR: "its folder is none; set another grpc.addr",
  EACCES: "may not be made there; let the user that runs mc-proxy write the folder",
  EPERM: "may not be made there; let the user that runs mc-proxy write the folder",
  EROFS: "its folder is on a read-only file system; set another grpc.addr",
  ENOSPC: "the disk is full; make room"
}
