/**
 * The other side of a connection, in a test's hand: a client of the proxy, or a backend's end.
 *
 * It reads only when it is asked to: a peer that nobody reads from is stalled, one that is read from in small pieces is
 * slow. Its scope, that of `connect` or of `accept`, resets it.
 */
import { Deferred, Effect } from "effect"
import type { Scope } from "effect"
import type { Duplex } from "node:stream"
import { PeerEnded, type ConnectionReset } from "../Connection.ts"
import type { SocketAddress } from "../SocketAddress.ts"
import type { HandshakeError, TlsStream } from "../Network.ts"
import { secure, terminate, type NullClientTls, type NullServerTls } from "./NullTls.ts"
import type { SimConnection } from "./SimConnection.ts"
import { SimDuplex } from "./SimDuplex.ts"

/** How receiving ended: `FIN` and `RST` are the other side's, `reset` is our own. */
export type ReceiveEnd = "FIN" | "RST" | "reset"

/** All that was read, and what was behind it. */
export interface Received {
  readonly bytes: Uint8Array
  readonly end: ReceiveEnd
}

export class SimPeer {
  readonly connection: SimConnection
  /** FIN, behind all writes so far. */
  readonly finish: Effect.Effect<void>
  readonly #ownReset = Deferred.makeUnsafe<void>()

  constructor(connection: SimConnection) {
    this.connection = connection
    this.finish = connection.endWrite
  }

  get local(): SocketAddress {
    return this.connection.socket.local
  }

  get remote(): SocketAddress {
    return this.connection.socket.peer
  }

  /** Completes when all of it is accepted; waits while the other side is slow. */
  write(bytes: Uint8Array): Effect.Effect<void, ConnectionReset> {
    return this.connection.write(bytes)
  }

  /** Begins null TLS as a client, and gives the stream above it; see NullTls.ts. */
  secure(tls: NullClientTls): Effect.Effect<TlsStream, HandshakeError, Scope.Scope> {
    return secure(this.connection, tls)
  }

  /** Serves null TLS as a backend that has a certificate for `names`. */
  terminate(tls: NullServerTls): Effect.Effect<TlsStream, HandshakeError, Scope.Scope> {
    return terminate(this.connection, tls)
  }

  /** The plain connection as a stream of Node's, which reads ahead as those do. */
  asDuplex(): Duplex {
    return new SimDuplex(this.connection)
  }

  /** RST. What is on its way already arrives before it. */
  reset(): void {
    this.connection.reset()
    Deferred.doneUnsafe(this.#ownReset, Effect.void)
  }

  /** Exactly so many bytes; fewer where the end is nearer. */
  read(length: number): Effect.Effect<Uint8Array> {
    return Effect.map(this.#readUpTo(length), ({ bytes }) => bytes)
  }

  /** What has come, at most so many bytes, as soon as there are any; none at the end. */
  readSome(most: number): Effect.Effect<Uint8Array> {
    return Effect.match(this.connection.peek(0, Infinity), {
      onFailure: () => new Uint8Array(0),
      onSuccess: (shown) => {
        const taken = shown.subarray(0, most)
        this.connection.consume(taken.length)
        return taken
      }
    })
  }

  /** Everything, to the end. */
  readonly readAll: Effect.Effect<Received> = Effect.suspend(() =>
    Effect.map(this.#readUpTo(Infinity), ({ bytes, end }) => ({ bytes, end: end! }))
  )

  /** The other side's reset, as soon as it has come, whatever is unread. */
  readonly resetByPeer: Effect.Effect<void> = Effect.callback<void>((resume) => {
    this.connection.onReset(() => resume(Effect.void))
    return Effect.sync(() => this.connection.onReset(undefined))
  })

  /** Either side's reset. */
  readonly resetByAny: Effect.Effect<void> = Effect.suspend(() =>
    Effect.raceFirst(this.resetByPeer, Deferred.await(this.#ownReset))
  )

  readonly #readUpTo = Effect.fnUntraced({ self: this }, function* (length: number): Effect.fn.Return<{
    readonly bytes: Uint8Array
    readonly end: ReceiveEnd | undefined
  }> {
    const chunks: Array<Uint8Array> = []
    let missing = length
    while (missing > 0) {
      const shown = yield* Effect.result(this.connection.peek(0, Infinity))
      if (shown._tag === "Failure") {
        const end = shown.failure === PeerEnded ? "FIN" : this.connection.failed ? "RST" : "reset"
        return { bytes: Buffer.concat(chunks), end }
      }
      const chunk = shown.success.subarray(0, missing)
      chunks.push(chunk)
      missing -= chunk.length
      this.connection.consume(chunk.length)
    }
    return { bytes: Buffer.concat(chunks), end: undefined }
  })
}
