/**
 * Whether an open database is still the file at its path. SQLite goes on with one that was moved, removed or replaced, and
 * what is committed to that is not there after the next start.
 */
import { Effect, Option } from "effect"
import { statSync } from "node:fs"
import { WriteFailed } from "./Store.ts"

/** For a file that was just opened: a check that fails from when another, or none, is in its place. */
export const placeOf = (file: string): Effect.Effect<void, WriteFailed> => {
  const opened = identityOf(file)
  return Effect.suspend(() =>
    opened !== undefined && identityOf(file) === opened
      ? Effect.void
      : Effect.fail(new WriteFailed({ problem: `${file}: ${NO_LONGER_THERE}`, certain: true }))
  )
}

/** `undefined`: nobody who looks finds it. */
const identityOf = (file: string): string | undefined =>
  Option.getOrUndefined(
    Option.liftThrowable(() => {
      const { dev, ino } = statSync(file, { bigint: true })
      return `${dev}:${ino}`
    })()
  )

const NO_LONGER_THERE =
  "was moved, removed or replaced while mc-proxy uses it; put it back, or restart mc-proxy to go on with what is there"
