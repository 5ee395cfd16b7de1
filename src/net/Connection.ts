/**
 * One TCP connection, as the pipeline sees it, whatever kind of socket is underneath.
 *
 * Bytes that were peeked stay in the connection until they are consumed, so that relaying and terminating TLS start at
 * the first byte that nobody consumed. Whoever made a connection (`Network.listen`'s callback, the scope of
 * `Network.dial`) owns it and ends it with `reset`, which does nothing where both directions have finished already.
 * A network's `relay` takes only connections of its own.
 */
import type { Effect } from "effect"
import type { SocketAddress } from "./SocketAddress.ts"

export interface Connection {
  /** The other end; `undefined` when it was gone before it could be asked for, and then no firewall can judge it. */
  readonly peer: SocketAddress | undefined
  /** Our end; `undefined` once the connection has failed. */
  readonly local: SocketAddress | undefined
  /** Bytes that have come so far, whether anybody has taken them or not; stays readable after the end. */
  readonly bytesRead: number
  /** Bytes this side's kernel has accepted from us so far; stays readable after the end. */
  readonly bytesWritten: number
  /**
   * Waits until more than `seen` bytes have come and shows all of them, consuming none.
   * `deadline` is in the network's `now()`, milliseconds. At most one peek waits at a time.
   */
  peek(seen: number, deadline: number): Effect.Effect<Uint8Array, PeekError>
  /** Takes the first `count` of the peeked bytes out of the connection. */
  consume(count: number): void
  /** Sends `bytes`; completes when they are accepted, so that waiting for it is the caller's back-pressure. */
  write(bytes: Uint8Array): Effect.Effect<void, ConnectionReset>
  /** Sends FIN behind what was written; receiving goes on. */
  readonly endWrite: Effect.Effect<void>
  /** Sends RST and frees the socket now; who waits gets `ConnectionReset`. What was not delivered is lost. */
  reset(): void
  /**
   * Calls `listener`, once, when the other side resets, or now if it has already; `undefined` takes it back. A relay
   * takes over from it.
   */
  onReset(listener: (() => void) | undefined): void
}

/** Why no more bytes can be peeked. Values, not `Error`s: refusing a flood of clients must not cost stack traces. */
export type PeekError = PeerEnded | ConnectionReset | PeekTimeout

/** The peer sent FIN before more than `seen` bytes had come. */
export interface PeerEnded {
  readonly _tag: "PeerEnded"
}
/** The peer sent RST, or the connection failed in another way. */
export interface ConnectionReset {
  readonly _tag: "ConnectionReset"
}
/** The deadline passed. */
export interface PeekTimeout {
  readonly _tag: "PeekTimeout"
}

export const PeerEnded: PeerEnded = { _tag: "PeerEnded" }
export const ConnectionReset: ConnectionReset = { _tag: "ConnectionReset" }
export const PeekTimeout: PeekTimeout = { _tag: "PeekTimeout" }
