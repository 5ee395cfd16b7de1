/** `mcproxyctl health`: whether the proxy takes connections, as its exit code, for load balancers and scripts. */
import { Data, Effect } from "effect"
import { Command } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import { document } from "./Output.ts"

export const healthCommand = Command.make("health", {}, () =>
  Effect.gen(function* () {
    const status = yield* (yield* AdminClient).health
    yield* document(
      () => ({ status }),
      () => [status]
    )
    if (status !== "SERVING")
      return yield* new NotServing({ message: "the proxy is draining, and takes no connections" })
  })
).pipe(Command.withDescription("Exit 0 while the proxy serves, and 1 when it drains or does not answer"))

class NotServing extends Data.TaggedError("NotServing")<{ readonly message: string }> {}
