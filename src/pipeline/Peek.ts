/** Stage 3: the name the client asks for, read off its ClientHello, which stays in the connection. */
import { Effect } from "effect"
import type { Connection } from "../net/Connection.ts"
import type { Hostname } from "../snapshot/Hostname.ts"
import { ClientHelloReader } from "../tls/ClientHello.ts"
import type { Admitted } from "./Admit.ts"
import { peekMore, type PeekRefusal } from "./PeekMore.ts"
import { refuse, type Refusal } from "./Refusal.ts"

export interface Named extends Admitted {
  /** The SNI name. */
  readonly hostname: Hostname
}

export type HelloRefusal = PeekRefusal | Refusal<"not_tls" | "hello_too_large" | "no_sni">

export const peek = Effect.fnUntraced(function* (
  admitted: Admitted,
  connection: Connection,
  helloBytesMax: number,
  deadline: number
): Effect.fn.Return<Named, HelloRefusal> {
  const reader = new ClientHelloReader(helloBytesMax)
  let seen = 0
  while (true) {
    const bytes = yield* peekMore(connection, seen, deadline)
    const hello = reader.read(bytes)
    switch (hello._tag) {
      case "NeedMore":
        seen = bytes.length
        continue
      case "Refused":
        return yield* refuse(hello.outcome)
      case "Hello":
        return { ...admitted, hostname: hello.serverName }
    }
  }
})
