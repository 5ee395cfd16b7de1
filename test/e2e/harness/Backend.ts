/**
 * Backends for the proxy to reach: one of plain TCP, whose connections the test holds in its hand, and one of TLS,
 * which answers by itself. The test's scope owns them and their connections.
 */
import { Effect, type Scope } from "effect"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls"
import { identityOf } from "./Certificates.ts"
import { Watch } from "./Watch.ts"
import { connect, formatAddress, Wire } from "./Wire.ts"

export class Backend {
  /** `ip:port`. */
  readonly address: string
  /** Every connection, in the order of their coming. */
  readonly accepted: Array<Wire> = []
  readonly #watch = new Watch()
  #taken = 0

  constructor(server: Server) {
    this.address = addressOf(server)
    server.on("connection", (socket: Socket) => {
      this.accepted.push(new Wire(socket, this.address))
      this.#watch.notify()
    })
  }

  /** Waits for the next connection that no call before has given. */
  readonly next: Effect.Effect<Wire> = Effect.suspend(() =>
    Effect.tap(
      this.#watch.until("a connection to the backend", () => this.accepted[this.#taken]),
      () => Effect.sync(() => this.#taken++)
    )
  )
}

/** A TCP backend. It answers nothing by itself. */
export const startBackend = (host = "127.0.0.1"): Effect.Effect<Backend, never, Scope.Scope> =>
  Effect.map(listening(createServer({ allowHalfOpen: true }), host), (server) => new Backend(server))

/** A TLS backend for one name; returns its `ip:port`. `serve` gets each connection once its handshake is done. */
export const startTlsBackend = (
  name: string,
  serve: (socket: TLSSocket) => void,
  options: TlsOptions = {}
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { certificate, key } = yield* Effect.promise(() => identityOf(name))
    const server = createTlsServer({ cert: certificate, key, ...options }, (socket) => {
      socket.on("error", () => socket.destroy())
      serve(socket)
    })
    return addressOf(yield* listening(server, "127.0.0.1"))
  })

const listening = <S extends Server>(server: S, host: string): Effect.Effect<S, never, Scope.Scope> => {
  const sockets = new Set<Socket>()
  server.on("connection", (socket: Socket) => {
    sockets.add(socket)
    socket.on("error", () => socket.destroy())
    socket.once("close", () => sockets.delete(socket))
  })
  return Effect.acquireRelease(
    Effect.callback<S>((resume) => {
      server.once("error", (error) => resume(Effect.die(error)))
      server.listen(0, host, () => resume(Effect.succeed(server)))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )
}

const addressOf = (server: Server): string => {
  const { address, port } = server.address() as AddressInfo
  return formatAddress(address, port)
}

/**
 * An address on which nobody accepts, and which nobody else is given meanwhile: the near end of a connection. It closes
 * with the scope.
 */
export const refusingAddress: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function* () {
  const { local } = yield* Effect.orDie(connect((yield* startBackend()).address))
  return local
})
