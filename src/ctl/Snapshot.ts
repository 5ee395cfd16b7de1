/** `mcproxyctl snapshot`: has the proxy write a consistent copy of its database. */
import { Effect, Option, Path } from "effect"
import { Argument, Command } from "effect/cli"
import { AdminClient } from "../admin/AdminClient.ts"
import { copyName } from "../store/CopyName.ts"
import { answer } from "./Output.ts"
import { formatBytes } from "./Quantity.ts"

export const snapshotCommand = Command.make(
  "snapshot",
  {
    target: Argument.String("PATH").pipe(
      Argument.withDescription("On the proxy's host; left out: mc-proxy-<UTC time>.db in the current folder"),
      Argument.optional
    )
  },
  ({ target }) =>
    Effect.gen(function* () {
      const name = yield* copyName
      const path = (yield* Path.Path).resolve(Option.getOrElse(target, () => name))
      const written = yield* (yield* AdminClient).snapshot({ path })
      yield* answer("snapshot", written, () => [`${path}: ${formatBytes(written.bytes)}`])
    })
).pipe(Command.withDescription("Have the proxy write a copy of its database; nothing is overwritten"))
