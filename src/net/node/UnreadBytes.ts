/**
 * What a socket that has just failed had received and nobody had read.
 *
 * Linux keeps what came before a RST, but Node throws it away: what waits in its own queue, and, where it is a write
 * that failed, all that waits in the kernel. A server that answers early and closes with its input unread resets in
 * just that way, and its answer must not be lost.
 */
import { Predicate } from "effect"
import { readSync } from "node:fs"
import type { Socket } from "node:net"

/**
 * Takes it all; to be called before Node closes the socket, which is when a write's callback gets the error. Where the
 * system has no such descriptor, or keeps nothing, there is just Node's own queue.
 */
export const unreadBytes = (socket: Socket): ReadonlyArray<Buffer> => {
  const queued: unknown = socket.read()
  const chunks = queued instanceof Buffer ? [queued] : []
  const fd = descriptorOf(socket)
  if (fd < 0) return chunks
  for (let length = 0; length < UNREAD_BYTES_MAX;) {
    const chunk = readChunk(fd)
    if (chunk.length === 0) break
    chunks.push(chunk)
    length += chunk.length
  }
  return chunks
}

/**
 * More than a receive buffer holds by Linux's defaults (6 MiB), so that a loop here cannot go on. On a system tuned for
 * more, what is beyond it is lost.
 */
const UNREAD_BYTES_MAX = 8 * 1024 * 1024

const CHUNK_BYTES = 64 * 1024

const readChunk = (fd: number): Buffer => {
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  try {
    return chunk.subarray(0, readSync(fd, chunk))
  } catch {
    return chunk.subarray(0, 0) // EAGAIN: there is no more; ECONNRESET: nor will there be.
  }
}

/** The socket's descriptor, -1 without one. Node has no public name for it. */
const descriptorOf = (socket: Socket): number => {
  if (!Predicate.hasProperty(socket, "_handle") || !Predicate.hasProperty(socket._handle, "fd")) return -1
  return Predicate.isNumber(socket._handle.fd) ? socket._handle.fd : -1
}
