/** One well-behaved client: it says hello, sends what it has, finishes, and reads to the end. */
import { Effect } from "effect"
import type { IpAddress } from "../net/IpAddress.ts"
import { SimNetwork } from "../net/sim/SimNetwork.ts"
import type { Received, SimPeer } from "../net/sim/SimPeer.ts"
import type { DialError } from "../net/Network.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { concat } from "./Bytes.ts"
import { clientHello } from "./Hello.ts"

export interface VisitOptions {
  readonly to: SocketAddress
  readonly from: IpAddress
  /** The server name it asks for. */
  readonly hostname: string
  /** What it sends behind its hello. */
  readonly bytes?: Uint8Array
}

/** Gives what came back: who is blocked is told nothing, and reset. */
export const visit = ({
  bytes = new Uint8Array(0),
  from,
  hostname,
  to
}: VisitOptions): Effect.Effect<Received, DialError, SimNetwork> =>
  Effect.gen(function* () {
    const network = yield* SimNetwork
    const peer = yield* network.connect(to, { from: { ip: from, port: 0 } })
    const sending = Effect.ignore(
      Effect.andThen(peer.write(concat(clientHello({ name: hostname }), bytes)), peer.finish)
    )
    const [received] = yield* Effect.all([peer.readAll, sending], { concurrency: "unbounded" })
    return received
  }).pipe(Effect.scoped)

/** A backend that answers each connection with what that sends, until the scope closes. */
export const serveEcho = Effect.fnUntraced(function* (address: SocketAddress) {
  const network = yield* SimNetwork
  const backend = yield* network.listenBackend(address)
  yield* backend.serve((peer) => Effect.ignore(echo(peer)))
})

const echo = Effect.fnUntraced(function* (peer: SimPeer) {
  for (let bytes = yield* peer.readSome(Infinity); bytes.length > 0; bytes = yield* peer.readSome(Infinity)) {
    yield* peer.write(bytes)
  }
  yield* peer.finish
})
