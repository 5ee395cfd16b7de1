/**
 * TLS on a connection of Node's sockets, from its first byte not consumed.
 *
 * The handshake has a deadline and can be interrupted; a failed one leaves no socket. TLS and TCP stay one: the plain
 * stream ends with the connection, and resetting the connection destroys the stream. Of Node's own server for TLS nothing
 * is used but what it does to a socket when the handshake is done.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { isIP, type Socket } from "node:net"
import { connect, TLSSocket } from "node:tls"
import type { Alpn, ClientTls, HandshakeError, ServerTls, TlsStream } from "../Network.ts"
import { acquireScoped } from "../Scoped.ts"
import { ignore, letGo } from "./LetGo.ts"
import type { NodeConnection } from "./NodeConnection.ts"

type Handshake = Effect.Effect<TlsStream, HandshakeError, Scope.Scope>

export const terminate = (
  client: NodeConnection,
  { context, alpn, deadline }: ServerTls,
  now: () => number
): Handshake =>
  shakeHands(client, deadline - now(), "secure", (socket) => {
    const stream = new TLSSocket(socket, { isServer: true, secureContext: context, ALPNProtocols: [...alpn] })
    stream.once("secure", () => {
      // TLS 1.2; a client that asks for it all the same is disconnected.
      stream.disableRenegotiation()
      // As Node's server does: what is built on the stream would wait for a handshake that is over.
      Reflect.set(stream, "secureConnecting", false)
    })
    return stream
  })

export const secure = (backend: NodeConnection, tls: ClientTls, now: () => number): Handshake => {
  // An address is verified, but is no server name (RFC 6066 3).
  const name = isIP(tls.serverName) === 0 ? { servername: tls.serverName } : { host: tls.serverName }
  return shakeHands(backend, tls.deadline - now(), "secureConnect", (socket) =>
    connect({ ...name, socket, secureContext: tls.context, ALPNProtocols: [...tls.alpn] })
  )
}

const shakeHands = (
  connection: NodeConnection,
  timeoutMs: number,
  established: "secure" | "secureConnect",
  wrap: (socket: Socket) => TLSSocket
): Handshake =>
  acquireScoped(
    Effect.callback<TlsStream, HandshakeError>((resume) => {
      if (connection.failed) return resume(fail("reset", "reset before the handshake"))
      if (connection.ended) return resume(fail("handshake_failed", "closed before the handshake"))
      const stream = wrap(connection.handOver())
      // One that stays: what is built on the stream sees its own errors, and the end of the connection as its close.
      stream.on("error", ignore)
      stream.on("close", () => letGo(stream))
      let failure = fail("handshake_failed", "closed during the handshake")
      const settle = (result: Effect.Effect<TlsStream, HandshakeError>) => {
        clearTimeout(timer)
        stream
          .off("_tlsError", failed)
          .off("error", failed)
          .off("end", ended)
          .off("close", closed)
          .off(established, done)
        resume(result)
      }
      const failed = (error: NodeJS.ErrnoException) => {
        failure = fail(isReset(error) ? "reset" : "handshake_failed", error.code ?? error.message)
      }
      // TLS has sent its alert by now, where it has one to send.
      const closed = () => settle(failure)
      const ended = () => {
        // A client's error that comes of it would pass for a reset.
        stream.off("error", failed)
        stream.destroy()
      }
      const done = () => settle(Effect.succeed({ duplex: stream, alpn: agreed(stream) }))
      const late = () => {
        failure = fail("handshake_timeout", "the handshake took too long")
        stream.destroy()
      }
      const timer = setTimeout(late, Math.max(0, timeoutMs))
      stream.on("_tlsError", failed).on("error", failed).on("end", ended).on("close", closed).on(established, done)
      return Effect.sync(() => {
        clearTimeout(timer)
        connection.reset()
      })
    }),
    () => connection.reset()
  )

const fail = (_tag: HandshakeError["_tag"], reason: string): Effect.Effect<never, HandshakeError> =>
  Effect.fail({ _tag, reason })

const isReset = ({ code }: NodeJS.ErrnoException): boolean => code === "ECONNRESET" || code === "EPIPE"

const agreed = ({ alpnProtocol }: TLSSocket): Alpn | undefined =>
  alpnProtocol === "h2" || alpnProtocol === "http/1.1" ? alpnProtocol : undefined
