/**
 * The first run: the config file's state fills a new database. From then on the database's holds, and where the file
 * says something else, that is only told.
 */
import { Effect, FileSystem } from "effect"
import type { State } from "../snapshot/Change.ts"
import * as Database from "./Database.ts"
import * as DatabaseFile from "./DatabaseFile.ts"

export interface SeedingOptions<E, R> {
  /** What fills a new database. */
  readonly seed: State
  /** Runs before a new database is filled; where it fails, nothing is written. */
  readonly beforeSeeding: Effect.Effect<void, E, R>
  /** Told the state of a database that was filled before. */
  readonly onStored: (state: State) => Effect.Effect<void, E, R>
}

/** Fills a database that was never filled; answers what it holds then. */
export const seedIfNew = Effect.fn("Seeding.seedIfNew")(function* <E, R>(options: SeedingOptions<E, R>) {
  const { seeded, snapshot } = yield* Database.load()
  if (seeded) {
    yield* options.onStored(snapshot)
    return snapshot
  }
  yield* options.beforeSeeding
  return { ...options.seed, revision: yield* Database.seed(options.seed) }
})

/** What a proxy would serve from the database at `file`, whoever has it open; `undefined` when it was never filled. */
export const readSeeded = Effect.fn("Seeding.readSeeded")(function* (file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  // What else may be in the way, opening it tells.
  const isThere = yield* Effect.orElseSucceed(fileSystem.exists(file), () => true)
  if (!isThere || (yield* DatabaseFile.isEmpty(file))) return undefined
  const { seeded, snapshot } = yield* Effect.provide(Database.load(), DatabaseFile.layerReadOnly(file))
  return seeded ? snapshot : undefined
})
