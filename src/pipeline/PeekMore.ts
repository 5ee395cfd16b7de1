/** Waiting for more of what a client has to say first, and what it means when that does not come. */
import { Effect } from "effect"
import type { Connection, PeekError } from "../net/Connection.ts"
import { refuse, type Refusal } from "./Refusal.ts"

export type PeekRefusal = Refusal<"hello_timeout" | "client_closed" | "reset">

/** Everything received, as soon as that is more than `seen` bytes. */
export const peekMore = (
  connection: Connection,
  seen: number,
  deadline: number
): Effect.Effect<Uint8Array, PeekRefusal> => Effect.catch(connection.peek(seen, deadline), refusalOf)

const refusalOf = (error: PeekError): Effect.Effect<never, PeekRefusal> => {
  switch (error._tag) {
    case "PeekTimeout":
      return refuse("hello_timeout")
    case "PeerEnded":
      return refuse("client_closed")
    case "ConnectionReset":
      return refuse("reset")
  }
}
