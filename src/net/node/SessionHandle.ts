/**
 * Keeps Node from aborting the process at a session of HTTP/2 that is collected before its streams.
 *
 * A stream that ends while something of it is being written stays until it is collected, and with it the fields of a
 * header block that never became whole or was malformed. They are the session's memory, which Node asserts to be given
 * back when it collects the session (`Http2Session::~Http2Session`), yet it may come to that first. Any peer can have it
 * so: it reads nothing, breaks its fields off or sends wrong ones, and leaves.
 */
import type { Http2Session } from "node:http2"

/** Has what is below `session` outlive its streams. To be called before a stream can have begun. */
export const outliveStreams = (session: Http2Session): void => {
  let handle = handleOf(session)
  // That of a client's session is there once it is connected.
  session.once("connect", () => (handle ??= handleOf(session)))
  session.once("close", () => {
    if (handle !== undefined) keep({ handle, collections: 0 })
  })
}

interface Kept {
  /** What Node collects. */
  readonly handle: object
  /** Full collections that there have been since the session was closed. */
  collections: number
}

/** The second certainly began after all that had to do with the session was given up. */
const COLLECTIONS = 2

const keep = (kept: Kept): void => collected.register({}, kept)

/** What is registered is garbage already, so that each of these tells of one full collection; it holds what is kept. */
const collected = new FinalizationRegistry<Kept>((kept) => {
  if (++kept.collections < COLLECTIONS) keep(kept)
})

/** Node has it as a property without a name, and takes it away from a session that is destroyed. */
const handleOf = (session: Http2Session): object | undefined => {
  for (const key of Object.getOwnPropertySymbols(session)) {
    const value: unknown = Reflect.get(session, key)
    if (typeof value === "object" && value?.constructor.name === "Http2Session") return value
  }
  return undefined
}
