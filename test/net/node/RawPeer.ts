/** A peer on Node's bare sockets, so that what the proxy does is seen on the wire and not through its own eyes. */
import { Effect } from "effect"
import { connect, type Socket } from "node:net"
import type { SocketAddress } from "../../../src/net/SocketAddress.ts"

export interface RawPeer {
  readonly socket: Socket
  /** Each event of the socket so far; an error by its code. */
  readonly events: ReadonlyArray<string>
  /** Waits for the socket's own last event, and gives all of them. */
  readonly closed: Effect.Effect<ReadonlyArray<string>>
}

export const rawPeer = Effect.fnUntraced(function* ({ ip, port }: SocketAddress) {
  const events: Array<string> = []
  const socket = yield* Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const connecting = connect({ host: ip.text, port, allowHalfOpen: true }, () => resume(Effect.succeed(connecting)))
      connecting
        .on("error", (error: NodeJS.ErrnoException) => events.push(error.code ?? error.message))
        .on("end", () => events.push("end"))
        .on("close", () => events.push("close"))
        .resume()
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
  const closed = Effect.callback<ReadonlyArray<string>>((resume) => {
    if (events.includes("close")) return resume(Effect.succeed(events))
    socket.once("close", () => resume(Effect.succeed(events)))
  })
  return { socket, events, closed } satisfies RawPeer
})
