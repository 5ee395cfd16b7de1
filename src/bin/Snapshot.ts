/** `mc-proxy snapshot`: a consistent copy of the database, while the proxy runs or not. */
import { Console, Effect, Option, Path } from "effect"
import { loadConfig } from "../config/Config.ts"
import { copyDatabase, defaultTarget } from "../store/DatabaseCopy.ts"

/** Prints the path of the copy. */
export const snapshot = Effect.fn("snapshot")(function* (file: string, output: Option.Option<string>) {
  const path = yield* Path.Path
  const { database } = yield* loadConfig(file, process.env)
  const target = Option.isSome(output) ? path.resolve(output.value) : yield* defaultTarget(database.path)
  yield* Effect.catchTag(copyDatabase(database.path, target), "AlreadyThere", ({ message }) =>
    Effect.fail({ message: `${message}; give another path with -o` })
  )
  yield* Console.log(target)
})
