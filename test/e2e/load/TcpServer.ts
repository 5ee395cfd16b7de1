/** A TCP server on 127.0.0.1 that keeps nothing of a connection once it is closed, however many there are. */
import { Effect, type Scope } from "effect"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { formatAddress } from "../harness/Wire.ts"

/** Its `ip:port`. A connection that fails is closed; the test's scope ends those that are left. */
export const startTcpServer = (accept: (socket: Socket) => void): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket)
      socket.on("error", () => socket.destroy())
      socket.once("close", () => sockets.delete(socket))
      accept(socket)
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen({ port: 0, host: "127.0.0.1", backlog: BACKLOG_MAX }, () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const { address, port } = server.address() as AddressInfo
    return formatAddress(address, port)
  })

/** More than any of these tests connects at once, so that no connection waits for a second SYN. */
const BACKLOG_MAX = 4096
