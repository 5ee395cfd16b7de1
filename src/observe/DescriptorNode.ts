/**
 * An inherited descriptor (stderr) as a place for log bytes: non-blocking where the kernel lets it be.
 *
 * Node's own `process.stderr` queues without bound on a pipe that nobody reads, and blocks the event loop on a file or
 * a terminal. Here every write goes through libuv's thread pool. A thread that blocks in write(2) is lost to DNS and
 * files and cannot be joined at exit. So pipes and terminals are opened anew without blocking, and sockets, which
 * cannot be, are made non-blocking: a stalled reader then shows as EAGAIN. The descriptor stays its owner's and is
 * never closed here: the next accepted connection would get its number, and with it whatever others print.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as tty from "node:tty"
import { LogDestinationBroken, type LogDestination } from "./LogDestination.ts"

/** `fd` as a destination until the scope closes. A descriptor that is none shows at the first write. */
export const openDescriptor = (fd: number): Effect.Effect<LogDestination, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => nonBlocking(fd)),
      (own) => Effect.sync(() => (own === fd ? undefined : fs.closeSync(own)))
    ),
    (own): LogDestination => ({
      // One of our own never blocks, and is not closed under a write: the number may be another file's by then.
      write: (bytes) => (own === fd ? write(own, bytes) : Effect.uninterruptible(write(own, bytes)))
    })
  )

const write = (fd: number, bytes: Uint8Array): Effect.Effect<number, LogDestinationBroken> =>
  Effect.callback((resume) => {
    fs.write(fd, bytes, 0, bytes.length, null, (error, written) => {
      if (error === null) resume(Effect.succeed(written))
      else if (FULL.has(error.code ?? "")) resume(Effect.succeed(0))
      else resume(Effect.fail(new LogDestinationBroken({ cause: error })))
    })
  })

/** No room now, but perhaps later: a reader that is behind, a disk or quota that is full. */
const FULL: ReadonlySet<string> = new Set(["EAGAIN", "ENOSPC", "EDQUOT"])

/** A descriptor of the same file on which a write does not block: a new one, or `fd` itself. */
const nonBlocking = (fd: number): number => {
  const kind = kindOf(fd)
  const opened = kind === "pipe" || kind === "terminal" ? openAnew(fd) : undefined
  if (opened !== undefined) return opened
  if (kind === "pipe" || kind === "socket") setNonBlocking(fd)
  return fd
}

const kindOf = (fd: number): "pipe" | "terminal" | "socket" | "other" => {
  if (tty.isatty(fd)) return "terminal"
  try {
    const stat = fs.fstatSync(fd)
    return stat.isFIFO() ? "pipe" : stat.isSocket() ? "socket" : "other"
  } catch {
    return "other"
  }
}

/** A description of its own: O_NONBLOCK on the shared one would surprise every other program that holds it. */
const openAnew = (fd: number): number | undefined => {
  try {
    return fs.openSync(`/dev/fd/${fd}`, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY)
  } catch {
    return undefined // Another user's pipe or terminal, or a pipe whose reader is gone.
  }
}

/**
 * libuv sets O_NONBLOCK on a pipe or socket that it is handed, and that is all this handle is for. It is never read,
 * written or destroyed: the last would close `fd`. Idle, it does not keep the process alive.
 */
const setNonBlocking = (fd: number): void => {
  try {
    new net.Socket({ fd, readable: false, writable: false }).unref()
  } catch {
    // A kind of socket that Node does not know (datagram): a full one may block a pool thread.
  }
}
