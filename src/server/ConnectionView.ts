/** A live connection as it is told to whoever asks: a plain value, which may go to another thread. */
import { formatSocketAddress } from "../net/SocketAddress.ts"
import type { LiveConnection } from "../pipeline/LiveConnection.ts"
import type { Outcome } from "../pipeline/Outcome.ts"

/** What is known of a connection so far; empty: not yet. */
export interface ConnectionView {
  readonly id: string
  readonly listener: string
  /** `ip:port`, after PROXY protocol; the TCP peer's until its header has been read. */
  readonly client: string
  /** `ip:port` of the TCP peer; empty: it was gone before it could be asked for. */
  readonly peer: string
  readonly country: string
  readonly hostname: string
  readonly backend: string
  readonly mode: "l4" | "l7" | ""
  /** Milliseconds since 1970. */
  readonly openedAt: number
  readonly bytesFromClient: number
  readonly bytesFromBackend: number
}

/** Empty: all. */
export interface ConnectionFilter {
  readonly listener: string
  readonly hostname: string
  /** Canonical. */
  readonly clientIp: string
  readonly limit: number
}

export type ConnectionEvent =
  | { readonly _tag: "Opened"; readonly connection: ConnectionView }
  | { readonly _tag: "Closed"; readonly connection: ConnectionView; readonly outcome: Outcome }
  /** The reader was too slow for so many events. */
  | { readonly _tag: "Dropped"; readonly count: number }

export const viewOf = (live: LiveConnection): ConnectionView => {
  const { country = "", hostname = "", route } = live.known
  const client = clientOf(live)
  return {
    id: live.id,
    listener: live.listener,
    client: client === undefined ? "" : formatSocketAddress(client),
    peer: live.socket.peer === undefined ? "" : formatSocketAddress(live.socket.peer),
    country,
    hostname,
    backend: route?.route.backend ?? "",
    mode: route?.route.mode ?? "",
    openedAt: live.openedAt,
    bytesFromClient: live.bytesFromClient,
    bytesFromBackend: live.bytesFromBackend
  }
}

/** Whether the filter, but for its limit, lets the connection pass. */
export const isAmong = ({ clientIp, hostname, listener }: ConnectionFilter, live: LiveConnection): boolean =>
  (listener === "" || live.listener === listener) &&
  (hostname === "" || live.known.hostname === hostname) &&
  (clientIp === "" || clientOf(live)?.ip.text === clientIp)

const clientOf = ({ known, socket }: LiveConnection) => known.client ?? socket.peer
