/** Stage 1: who the client is. The TCP peer, or whom a PROXY protocol header names. */
import { Effect } from "effect"
import type { Connection } from "../net/Connection.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { readProxyHeader } from "../proxyproto/ProxyHeader.ts"
import type { ListenerState } from "./ProxyState.ts"
import { peekMore, type PeekRefusal } from "./PeekMore.ts"
import { refuse, type Refusal } from "./Refusal.ts"

export interface Identified {
  /** The real client. */
  readonly client: SocketAddress
  /** Where the client connected to, by its PROXY header. */
  readonly destination: SocketAddress | undefined
  /** A load balancer's own connection (v2 LOCAL, v1 UNKNOWN) from a peer listed in `trusted_proxies`. */
  readonly probe: boolean
}

export type IdentifyRefusal = PeekRefusal | Refusal<"untrusted_proxy" | "proxy_header" | "reset">

/** Consumes the header, where the listener takes one. From a peer outside `trusted_proxies` nothing is read. */
export const identify = (
  connection: Connection,
  { listener, trusted }: ListenerState,
  deadline: number
): Effect.Effect<Identified, IdentifyRefusal> => {
  const peer = connection.peer
  // Reset before it was accepted: there is nobody whom the firewall could judge.
  if (peer === undefined) return refuse("reset")
  if (!listener.proxyProtocol) return Effect.succeed({ client: peer, destination: undefined, probe: false })
  const listed = trusted.match(peer.ip) !== undefined
  if (!listed && trusted.size > 0) return refuse("untrusted_proxy")
  return identifyByHeader(connection, peer, listed, deadline)
}

const identifyByHeader = Effect.fnUntraced(function* (
  connection: Connection,
  peer: SocketAddress,
  listed: boolean,
  deadline: number
) {
  let seen = 0
  while (true) {
    const bytes = yield* peekMore(connection, seen, deadline)
    const header = readProxyHeader(bytes)
    switch (header._tag) {
      case "NeedMore":
        seen = bytes.length
        continue
      case "Invalid":
        return yield* Effect.fail({ _tag: "proxy_header" as const, reason: header.reason })
      case "Header": {
        connection.consume(header.length)
        const { client = peer, destination, local } = header
        return { client, destination, probe: local && listed } satisfies Identified
      }
    }
  }
})
