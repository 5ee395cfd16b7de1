/**
 * The network as a service: what listens, looks up, dials, relays and speaks TLS, on one kind of socket.
 *
 * Nothing above it knows which kind: Node's sockets, system calls, or memory under a test clock. Everything that waits
 * here can be interrupted at any moment and leaves no socket, timer or listener behind.
 */
import { Context, Data } from "effect"
import type { Effect, Scope } from "effect"
import type { Duplex } from "node:stream"
import type { Hostname } from "../snapshot/Hostname.ts"
import type { ListenAddress } from "../snapshot/Endpoint.ts"
import type { SecureContext } from "../tls/SecureContexts.ts"
import type { Connection } from "./Connection.ts"
import type { IpAddress } from "./IpAddress.ts"
import type { SocketAddress } from "./SocketAddress.ts"

export class Network extends Context.Service<
  Network,
  {
    /** The clock of every deadline given to this network: monotonic milliseconds from an arbitrary origin. */
    now(): number
    /**
     * Binds and accepts until the scope closes; connections accepted before go on. `accept` owns what it is given.
     * Completes once the socket is bound, with the address it got.
     */
    listen(
      address: ListenAddress,
      accept: (connection: Connection) => void
    ): Effect.Effect<SocketAddress, ListenError, Scope.Scope>
    /** The addresses of a name, in the order of preference (RFC 6724); never empty. Not cached. */
    lookup(name: Hostname): Effect.Effect<ReadonlyArray<IpAddress>, LookupError>
    /** Connects to one address by `deadline`. The scope resets the connection if it has not finished by then. */
    dial(address: SocketAddress, deadline: number): Effect.Effect<Connection, DialError, Scope.Scope>
    /**
     * Copies both ways from the first byte not consumed until both have finished or one of the ends of `RelayEnd` is
     * met. A FIN is passed on as a FIN, a slow reader slows its sender, and what came before a reset is delivered
     * before the other side is ended. When it returns or is interrupted, neither connection is read any more.
     */
    relay(client: Connection, backend: Connection, timeouts: RelayTimeouts): Effect.Effect<RelayEnd>
    /** Serves TLS from the client's first byte not consumed, which is its ClientHello's. */
    terminate(client: Connection, tls: ServerTls): Effect.Effect<TlsStream, HandshakeError, Scope.Scope>
    /** Begins TLS with a backend, and verifies its certificate's chain and name. */
    secure(backend: Connection, tls: ClientTls): Effect.Effect<TlsStream, HandshakeError, Scope.Scope>
    /**
     * The connection as a stream of Node's, from the first byte not consumed, paused. As with `terminate` and `secure`
     * only counters, addresses and `reset` are the connection's from then on. The stream stays open for writing when
     * the other side has finished; destroying it closes the connection, `reset` resets it. One whose other side has been
     * seen to finish before is no use as a stream, and may be destroyed.
     */
    asDuplex(connection: Connection): Duplex
  }
>()("mc-proxy/net/Network") {}

export interface RelayTimeouts {
  /** The longest time without a byte either way, milliseconds. */
  readonly idleTimeoutMs: number
  /** The same once one side has finished; also how long what came before a reset may take to be delivered. */
  readonly halfCloseTimeoutMs: number
}

/** How a relay ended; each is the outcome of that name. */
export type RelayEnd = "done" | "reset" | "idle_timeout" | "half_close_timeout"

export interface ServerTls {
  /** The certificate, its key, and what is spoken: see `serverContext`. */
  readonly context: SecureContext
  /** In the order of preference. */
  readonly alpn: ReadonlyArray<Alpn>
  /** For the handshake; the network's clock. */
  readonly deadline: number
}

export interface ClientTls {
  /** The roots, and what is spoken: see `clientContext`. */
  readonly context: SecureContext
  /** The name or the address that the certificate must be for; a name is sent as SNI. */
  readonly serverName: string
  readonly alpn: ReadonlyArray<Alpn>
  readonly deadline: number
}

/** What is spoken above TLS (RFC 7301). */
export type Alpn = "h2" | "http/1.1"

/** TLS once the handshake is done. The scope resets what has not been closed by then. */
export interface TlsStream {
  /** The plain bytes; see `asDuplex`. */
  readonly duplex: Duplex
  /** What was agreed on; `undefined` when the other side takes no part in it. */
  readonly alpn: Alpn | undefined
}

/**
 * Why there is no TLS; the connection has been closed, after an alert where TLS has one to send. Of a client's the tag is
 * the outcome; `reason` is for the log. A value, not an `Error`.
 */
export interface HandshakeError {
  readonly _tag: "handshake_failed" | "handshake_timeout" | "reset"
  readonly reason: string
}

/** A listener could not bind. `message` is for the operator. */
export class ListenError extends Data.TaggedError("ListenError")<{ readonly message: string }> {}

/** A name has no address, or nobody answered. `message` is for the log. */
export class LookupError extends Data.TaggedError("LookupError")<{ readonly message: string }> {}

/** Why a backend could not be reached; the tag is the outcome, `reason` is for the log. A value, not an `Error`. */
export interface DialError {
  readonly _tag: "dial_failed" | "dial_timeout" | "descriptors"
  readonly reason: string
}
