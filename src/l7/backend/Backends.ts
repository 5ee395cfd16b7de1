/**
 * The HTTP connections to backends: dialled, secured, pooled and reused, behind one call.
 *
 * A pool belongs to one route, or, where the backend is told each client's address by PROXY protocol, to one client's
 * connection. Which protocol the backend speaks is seen by nobody outside.
 */
import { Context, type Effect, type Scope } from "effect"
import type { ClientPlace } from "../../net/DescriptorBudget.ts"
import type { SocketAddress } from "../../net/SocketAddress.ts"
import type { CompiledRoute } from "../../routing/RouteTable.ts"
import type { IncomingBody, OutgoingBody, RequestHead, ResponseHead } from "../Message.ts"

export class Backends extends Context.Service<
  Backends,
  {
    /** The route's pool for one client connection; the scope is that connection's. */
    pool(route: CompiledRoute, client: ClientOfPool): Effect.Effect<BackendPool, never, Scope.Scope>
  }
>()("mc-proxy/l7/backend/Backends") {}

/** Whose requests will be sent. */
export interface ClientOfPool {
  /** The connection's id. */
  readonly id: string
  readonly client: SocketAddress
  /** What the client connected to, for the PROXY header. */
  readonly destination: SocketAddress
  /** Counts sockets that are dialled for this client alone. */
  readonly place: ClientPlace
}

export interface BackendPool {
  /**
   * Sends a request's head on a connection that is there or is dialled. Closing the scope before the response has ended
   * cancels the request at once: RST_STREAM, or the connection's end on HTTP/1.1. `onInterim` is called for each 1xx but
   * 101, before the response.
   */
  send(
    head: RequestHead,
    onInterim: (head: ResponseHead) => void
  ): Effect.Effect<BackendRequest, BackendFailed, Scope.Scope>
  /** Whether a WebSocket can be asked for: always on HTTP/1.1, and on HTTP/2 when the backend said so (RFC 8441 3). */
  readonly takesWebSockets: boolean
  /** Calls back once `takesWebSockets` has become true, until the scope of the pool closes. */
  onWebSockets(listener: () => void): void
}

export interface BackendRequest {
  /** Where the request's body goes; `undefined` when the head says that there is none. */
  readonly body: OutgoingBody | undefined
  /** The final response's head. */
  readonly response: Effect.Effect<BackendResponse, BackendFailed>
}

export interface BackendResponse extends ResponseHead {
  /** `undefined`: there is none. */
  readonly body: IncomingBody | undefined
  /** Of a WebSocket that was accepted: what the client sends, from here on. */
  readonly upgraded: OutgoingBody | undefined
}

/** Why there is no response. A value; `reason` is for the log. */
export interface BackendFailed {
  /** `unavailable`: 502; `timed_out`: 504, it was not reached in time; `unsupported`: 501, it takes no WebSocket. */
  readonly _tag: "unavailable" | "timed_out" | "unsupported"
  /** Proof that the backend did nothing about the request, which may then be sent once more (RFC 9113 8.7). */
  readonly unprocessed: boolean
  readonly reason: string
}
