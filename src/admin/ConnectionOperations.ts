/** `listConnections`, `watchConnections`, `closeConnection`, `explainConnection`. */
import type { Result } from "effect"
import { Effect, Stream } from "effect"
import { showText } from "../config/Printable.ts"
import { Follower } from "../control/Follower.ts"
import { InvalidArgument, NotFound } from "./AdminError.ts"
import type { Request } from "./AdminRpcs.ts"
import { noListener, toConnection, toEvent, toExplanation } from "./Replies.ts"
import { readAddr, readHostname, readIp } from "./Requests.ts"

export const connectionOperations = Effect.gen(function* () {
  const follower = yield* Follower

  return {
    listConnections: Effect.fn("listConnections")(function* (request: Request<"listConnections">) {
      const { limit } = request
      if (limit < 0 || limit > LISTED_MAX) {
        return yield* new InvalidArgument({ message: `limit: ${limit} is not 0 to ${LISTED_MAX}` })
      }
      const views = yield* follower.connections({
        listener: yield* orAll(request.listenerAddr, (text) => readAddr("listener_addr", text)),
        hostname: yield* orAll(request.hostname, (text) => readHostname("hostname", text)),
        clientIp: yield* orAll(request.clientIp, (text) => readIp("client_ip", text)),
        limit: limit === 0 ? LISTED_BY_DEFAULT : limit
      })
      return { connections: views.map(toConnection) }
    }),

    watchConnections: () => Stream.map(follower.events, toEvent),

    closeConnection: Effect.fn("closeConnection")(function* ({ id }: Request<"closeConnection">) {
      if (yield* follower.close(id)) return {}
      return yield* new NotFound({ message: `id: there is no live connection ${showText(id)}` })
    }),

    explainConnection: Effect.fn("explainConnection")(function* (request: Request<"explainConnection">) {
      const listener = yield* Effect.fromResult(readAddr("listener_addr", request.listenerAddr))
      const clientIp = yield* Effect.fromResult(readIp("client_ip", request.clientIp))
      const hostname = yield* Effect.fromResult(readHostname("hostname", request.hostname))
      const explanation = yield* follower.explain({ listener, clientIp, hostname })
      return explanation === undefined ? yield* noListener(listener) : toExplanation(explanation)
    })
  }
})

/** What the API promises. */
const LISTED_MAX = 10_000
const LISTED_BY_DEFAULT = 1000

const orAll = <A extends string>(text: string, read: (text: string) => Result.Result<A, InvalidArgument>) =>
  text === "" ? Effect.succeed("") : Effect.fromResult(read(text))
