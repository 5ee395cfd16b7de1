/**
 * `Network` on Node's own sockets: the portable one.
 *
 * TCP_NODELAY and keep-alive are on for both sides. Node cannot see when a kernel has delivered what it accepted, so
 * after a reset the other side is sent FIN in that place, and RST after the half-close timeout.
 */
import { Effect, Layer } from "effect"
import { lookup } from "node:dns"
import { connect, createServer } from "node:net"
import type { Socket } from "node:net"
import { formatListenAddress, type ListenAddress } from "../../snapshot/Endpoint.ts"
import type { Connection } from "../Connection.ts"
import { parseIpAddress, type IpAddress } from "../IpAddress.ts"
import { ListenError, LookupError, Network, type DialError } from "../Network.ts"
import { acquireScoped } from "../Scoped.ts"
import { formatSocketAddress, type SocketAddress } from "../SocketAddress.ts"
import { NodeConnection } from "./NodeConnection.ts"
import { ReadBuffer } from "./ReadBuffer.ts"
import { relay } from "./NodeRelay.ts"
import { secure, terminate } from "./NodeTls.ts"

export const layer: Layer.Layer<Network> = Layer.sync(Network, () =>
  Network.of({
    now,
    listen,
    lookup: lookupName,
    dial: (address, deadline) => acquireScoped(connectTo(address, deadline), (connection) => connection.reset()),
    relay: (client, backend, timeouts) =>
      client instanceof NodeConnection && backend instanceof NodeConnection
        ? relay(client, backend, timeouts, now)
        : Effect.die(NOT_OURS),
    terminate: (client, tls) => (client instanceof NodeConnection ? terminate(client, tls, now) : Effect.die(NOT_OURS)),
    secure: (backend, tls) => (backend instanceof NodeConnection ? secure(backend, tls, now) : Effect.die(NOT_OURS)),
    asDuplex: (connection) => {
      if (!(connection instanceof NodeConnection)) throw new Error(NOT_OURS)
      return connection.handOver()
    }
  })
)

const NOT_OURS = "A connection of another network was given to Node's sockets."

const now = (): number => performance.now()

/** Pending connections the kernel holds for us; it caps this at its own `somaxconn`, 4096 on today's Linux. */
const BACKLOG_MAX = 4096

/** When to start asking a silent peer whether it is still there, milliseconds; the operating system's pace after that. */
const KEEP_ALIVE_DELAY = 60_000

const listen = (address: ListenAddress, accept: (connection: Connection) => void) => {
  const bind = (host: string) =>
    Effect.acquireRelease(
      Effect.callback<{ readonly close: () => void; readonly bound: SocketAddress }, NodeJS.ErrnoException>(
        (resume) => {
          const server = createServer(
            {
              allowHalfOpen: true,
              pauseOnConnect: true,
              noDelay: true,
              keepAlive: true,
              keepAliveInitialDelay: KEEP_ALIVE_DELAY
            },
            (socket) => accept(new NodeConnection(socket, now))
          )
          const failed = (error: Error) => resume(Effect.fail(error))
          server.once("error", failed)
          server.listen({ host, port: address.port, backlog: BACKLOG_MAX, ipv6Only: address.ip !== undefined }, () => {
            server.off("error", failed)
            // accept(2) reports errors of connections that were lost before they were ours; listening goes on.
            server.on("error", () => {})
            const bound = server.address()
            if (bound === null || typeof bound === "string") return resume(Effect.die("A TCP listener has no address."))
            const ip = parseIpAddress(bound.address)
            if (ip === undefined) return resume(Effect.die(`Not an IP address: ${bound.address}`))
            resume(Effect.succeed({ close: () => server.close(), bound: { ip, port: bound.port } }))
          })
          return Effect.sync(() => server.close())
        }
      ),
      ({ close }) => Effect.sync(close),
      { interruptible: true }
    )
  const bound =
    address.ip !== undefined
      ? bind(address.ip.text)
      : // A host without IPv6 has only the IPv4 half of "all addresses".
        Effect.catch(bind("::"), (error) =>
          error.code === "EAFNOSUPPORT" || error.code === "EADDRNOTAVAIL" ? bind("0.0.0.0") : Effect.fail(error)
        )
  return bound.pipe(
    Effect.map((listening) => listening.bound),
    Effect.mapError((error) => new ListenError({ message: listenProblem(formatListenAddress(address), error) }))
  )
}

const listenProblem = (address: string, error: NodeJS.ErrnoException): string =>
  `cannot listen on ${address}: ${LISTEN_PROBLEMS[error.code ?? ""] ?? error.message}`

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE:
    "the address is in use, by another process or by another listener; stop that one, or change the listener's addr",
  EACCES: "no permission for this port; run with CAP_NET_BIND_SERVICE, or use a port from 1024",
  EADDRNOTAVAIL: "no interface of this machine has that address"
}

const lookupName = (name: string) =>
  Effect.callback<ReadonlyArray<IpAddress>, LookupError>((resume) => {
    // getaddrinfo, so that hosts files and the system's own order of addresses hold. It cannot be cancelled.
    lookup(name, { all: true, order: "verbatim" }, (error, found) => {
      if (error !== null) return resume(Effect.fail(new LookupError({ message: lookupProblem(name, error) })))
      const addresses = found.flatMap(({ address }) => parseIpAddress(address) ?? [])
      resume(
        addresses.length > 0
          ? Effect.succeed(addresses)
          : Effect.fail(new LookupError({ message: `${name} has no address` }))
      )
    })
  })

const lookupProblem = (name: string, error: NodeJS.ErrnoException): string =>
  error.code === "ENOTFOUND" ? `${name} has no address` : `looking up ${name} failed: ${error.code ?? error.message}`

const connectTo = (address: SocketAddress, deadline: number): Effect.Effect<NodeConnection, DialError> =>
  Effect.callback<NodeConnection, DialError>((resume) => {
    const readBuffer = new ReadBuffer()
    const socket: Socket = connect({
      onread: readBuffer.options,
      host: address.ip.text,
      port: address.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY
    })
    const timer = setTimeout(
      () => {
        socket.destroy()
        resume(Effect.fail({ _tag: "dial_timeout", reason: `no answer from ${formatSocketAddress(address)}` }))
      },
      Math.max(0, deadline - now())
    )
    const failed = (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      const _tag = error.code === "EMFILE" || error.code === "ENFILE" ? "descriptors" : "dial_failed"
      resume(Effect.fail({ _tag, reason: `${formatSocketAddress(address)}: ${error.code ?? error.message}` }))
    }
    socket.once("error", failed)
    socket.once("connect", () => {
      clearTimeout(timer)
      socket.off("error", failed)
      resume(Effect.succeed(new NodeConnection(socket, now, { peer: address, readBuffer })))
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      socket.destroy()
    })
  })
