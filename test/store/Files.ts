/** Database files for tests: where they are, and what another program does to them. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, type FileSystem, type Path, type Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Database } from "../../src/store/Database.ts"
import * as DatabaseFile from "../../src/store/DatabaseFile.ts"

/** A path in a folder of the test's own, which goes with the scope. */
export const temporaryFile: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "mc-proxy-store-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
).pipe(Effect.map((folder) => join(folder, "mc-proxy.db")))

/** What another program does to the file; its rules are off. */
export const tamper = (file: string, sql: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const other = new DatabaseSync(file, { enableForeignKeyConstraints: false })
    other.exec(`PRAGMA ignore_check_constraints = ON; ${sql}`)
    other.close()
  })

/** Runs on an opened database, claimed for so long. */
export const onDatabase = <A, E>(
  file: string,
  effect: Effect.Effect<A, E, Database | FileSystem.FileSystem | Path.Path>
) =>
  Effect.scoped(
    Effect.flatMap(DatabaseFile.claim(file), (claimed) => Effect.provide(effect, DatabaseFile.layer(claimed)))
  ).pipe(Effect.provide(NodeServices.layer))

/** Runs with a file of its own. */
export const withFile = <A, E>(
  use: (file: string) => Effect.Effect<A, E, FileSystem.FileSystem | Path.Path | Scope.Scope>
) => Effect.scoped(Effect.flatMap(temporaryFile, use)).pipe(Effect.provide(NodeServices.layer))
