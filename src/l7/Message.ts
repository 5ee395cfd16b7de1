/**
 * An HTTP request and its response between client and backend, the same for HTTP/1.1 and HTTP/2.
 *
 * Heads are plain values; bodies are Node's streams, so that copying them costs no Effect and back-pressure is Node's.
 * What a protocol says in its own way (chunked, pseudo-headers, Upgrade, extended CONNECT) stays with its side.
 */
import type { Readable, Writable } from "node:stream"

/** Header or trailer fields in their order: name, value, name, value, …; names in lower case, values as received. */
export type Fields = ReadonlyArray<string>

export interface RequestHead {
  /** `GET` for a WebSocket, whichever way it was asked for. */
  readonly method: string
  /** As received, passed on unchanged: `Host`, or `:authority`. */
  readonly authority: string
  /** Path and query, or `*`. */
  readonly path: string
  /** End-to-end fields: no pseudo-header, no `host`, nothing hop-by-hop but `te: trailers`. */
  readonly fields: Fields
  /** HTTP/1.1 `Upgrade: websocket` (RFC 6455 4.1), or HTTP/2 extended CONNECT (RFC 8441). */
  readonly isWebSocket: boolean
  /** Whether a body follows; a WebSocket's is both ways. */
  readonly hasBody: boolean
  /** Its length in bytes where `content-length` says so; that field is among `fields` as well. */
  readonly contentLength: number | undefined
}

export interface ResponseHead {
  /** 1xx only where a head is said to be an interim one; 200 for a WebSocket that was accepted. */
  readonly status: number
  /** End-to-end fields, as of a request. */
  readonly fields: Fields
}

/** A body on its way to us. `readable` is destroyed by who sends it when the message breaks off. */
export interface IncomingBody {
  readonly readable: Readable
  /** Bytes, where the head says how many, and no trailers follow or nobody has asked for them. */
  readonly length?: number | undefined
  /** The trailer section; complete once `readable` has ended. */
  readonly trailers: () => Fields
}

export const noTrailers = (): Fields => []

/** A body on its way from us. */
export interface OutgoingBody {
  readonly writable: Writable
  /** Ends the body, and the message. */
  readonly end: (trailers: Fields) => void
}
