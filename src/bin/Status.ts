/** `mc-proxy status`: asks the running proxy through the admin socket that its config names. */
import { Console, Data, Effect } from "effect"
import { AdminClient } from "../admin/AdminClient.ts"
import { loadConfig } from "../config/Config.ts"
import { escapeInvisible } from "../config/Printable.ts"
import { statusLines } from "../ctl/Status.ts"

/** Fails when no proxy answers. */
export const status = Effect.fn("status")(function* (file: string) {
  const { grpc } = yield* loadConfig(file, process.env)
  if (grpc === undefined) return yield* new NoAdminSocket({ message: `${file}: ${NO_SOCKET}` })
  const asked = Effect.flatMap(AdminClient, (admin) => admin.getStatus({}))
  const answer = yield* Effect.provide(asked, AdminClient.layer({ socket: grpc.addr }))
  for (const line of statusLines(answer)) yield* Console.log(escapeInvisible(line))
})

/** The proxy of this config cannot be asked anything. */
class NoAdminSocket extends Data.TaggedError("NoAdminSocket")<{ readonly message: string }> {}

const NO_SOCKET = "has no [grpc], so that a proxy has no admin socket to be asked at; add it, and start the proxy again"
