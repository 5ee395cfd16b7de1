/**
 * What happens on a simulated network, as plain values in order: for a simulator to print, or to compare two runs.
 */

export interface TraceEvent {
  /** The network's `now()`. */
  readonly at: number
  readonly kind: TraceKind
  /** Counts the connections from 1, in the order in which they were dialled; 0 where it is about none. */
  readonly connection: number
  /** Whose end of the connection it happens at; of a `look_up` or a listener, that of the one who asks. */
  readonly side: Side
  readonly bytes: number
  /** The address or name that it is about, where a connection says it for the first time. */
  readonly subject: string
}

/**
 * `accept_bytes` is a kernel's taking from its own side, `arrive` the other kernel's taking from the wire, `read` that
 * side's taking from its kernel. `close` frees the socket.
 */
export type TraceKind =
  | "look_up"
  | "listen"
  | "stop_listening"
  | "dial"
  | "dial_failed"
  | "connect"
  | "accept"
  | "accept_bytes"
  | "arrive"
  | "read"
  | "send_fin"
  | "arrive_fin"
  | "send_rst"
  | "arrive_rst"
  | "close"

/** Of a connection's two ends, the one that dialled, or the one that was listening. */
export type Side = "dialler" | "listener"

/** Is called within each event, and must not use the network. */
export type Trace = (event: TraceEvent) => void
