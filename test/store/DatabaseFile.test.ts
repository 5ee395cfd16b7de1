import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { EMPTY } from "../../src/snapshot/Change.ts"
import { load, seed } from "../../src/store/Database.ts"
import * as DatabaseFile from "../../src/store/DatabaseFile.ts"
import { onDatabase, tamper, withFile } from "./Files.ts"
import { listenerOf } from "./RandomState.ts"

const modeOf = (file: string): string => (statSync(file).mode & 0o777).toString(8)

const pragmas = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* Effect.forEach(
    ["journal_mode", "synchronous", "foreign_keys", "busy_timeout"],
    (name) => sql<Record<string, unknown>>`PRAGMA ${sql.literal(name)}`
  )
  return Object.assign({}, ...rows.flat()) as unknown
})

/** The report of whoever opens it, which has to leave the file as it was. */
const refusalOf = Effect.fnUntraced(function* (file: string) {
  const before = readFileSync(file)
  const error = yield* Effect.flip(onDatabase(file, load()))
  assert.isTrue(before.equals(readFileSync(file)))
  return error.message
})

describe("opening a database", () => {
  it.live("makes it for its owner alone, whatever the umask, and what stands beside it too", () =>
    withFile((file) =>
      Effect.acquireUseRelease(
        Effect.sync(() => process.umask(0)),
        () =>
          onDatabase(
            file,
            Effect.gen(function* () {
              yield* seed(EMPTY)
              const files = readdirSync(dirname(file)).map((name) => `${name} ${modeOf(`${dirname(file)}/${name}`)}`)
              assert.sameMembers(
                files,
                ["", "-lock", "-shm", "-wal"].map((suffix) => `mc-proxy.db${suffix} 600`)
              )
            })
          ),
        (umask) => Effect.sync(() => process.umask(umask))
      )
    )
  )

  it.live("syncs every commit to the disk", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const claimed = yield* DatabaseFile.claim(file)
        yield* Effect.provide(load(), DatabaseFile.layer(claimed))
        const settings = yield* Effect.provide(pragmas, DatabaseFile.layerChecked(claimed))
        assert.deepStrictEqual(settings, { journal_mode: "wal", synchronous: 2, foreign_keys: 1, timeout: 5000 })
      })
    )
  )

  it.live("refuses what is no database, or is cut or damaged, and leaves it byte for byte", () =>
    withFile((file) =>
      Effect.gen(function* () {
        writeFileSync(file, "not a database, and longer than the header of one: ".repeat(40))
        assert.match(yield* refusalOf(file), /is no SQLite database, .* left as it is; restore a snapshot/)
        writeFileSync(file, "")
        yield* onDatabase(file, seed({ ...EMPTY, listeners: [listenerOf(":443")] }))
        const whole = readFileSync(file)
        truncateSync(file, whole.length / 2)
        assert.match(yield* refusalOf(file), /is corrupt, and was left as it is; restore a snapshot/)
        writeFileSync(file, whole.fill(0xff, 4096, 8192))
        assert.match(yield* refusalOf(file), /is corrupt, and was left as it is; restore a snapshot/)
      })
    )
  )

  it.live("refuses a schema that is newer than this program, and leaves it byte for byte", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* onDatabase(file, seed(EMPTY))
        yield* tamper(file, "INSERT INTO migrations (migration_id, name) VALUES (7, 'later')")
        assert.strictEqual(
          yield* refusalOf(file),
          `${file}: is of a newer mc-proxy (schema 7, and this one knows 1); run that one, or restore a snapshot of an older one`
        )
      })
    )
  )

  it.live("refuses another program's database, and leaves it byte for byte", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const other = new DatabaseSync(file)
        other.exec("CREATE TABLE listeners (id)")
        other.close()
        assert.match(yield* refusalOf(file), /is a database of another program; set database.path/)
      })
    )
  )

  it.live("says what is in its way, and what to do", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const folder = dirname(file)
        const directory = yield* Effect.flip(onDatabase(folder, load()))
        assert.strictEqual(directory.message, `${folder}: is a directory; set database.path to a file in it`)
        const nowhere = yield* Effect.flip(onDatabase(`${folder}/none/a.db`, load()))
        assert.match(nowhere.message, /none\/a.db: cannot be made or found; check the path and its folder/)
        const device = yield* Effect.flip(onDatabase("/dev/null", load()))
        assert.match(device.message, /is no regular file/)
      })
    )
  )

  it.live("refuses a database that another program has locked, and says so", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* onDatabase(file, seed(EMPTY))
        const other = new DatabaseSync(file)
        other.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        const error = yield* Effect.flip(onDatabase(file, load()))
        other.close()
        assert.match(error.message, /is locked by another program; end that one, or wait for it/)
      })
    )
  )
})

describe("claiming a database", () => {
  it.live("keeps out every other claim, by whatever path, until its scope ends", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const link = `${dirname(file)}/link.db`
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* DatabaseFile.claim(file)
            symlinkSync(file, link)
            for (const path of [file, link]) {
              const error = yield* Effect.flip(Effect.scoped(DatabaseFile.claim(path)))
              assert.strictEqual(error._tag, "DatabaseInUse")
              assert.isTrue(error.message.startsWith(`${path}: another mc-proxy is running on this database; stop`))
            }
          })
        )
        assert.strictEqual(yield* Effect.scoped(DatabaseFile.claim(link)), file)
      })
    )
  )

  it.live("lets a reader read", () =>
    withFile((file) =>
      onDatabase(
        file,
        Effect.gen(function* () {
          yield* seed(EMPTY)
          const { seeded } = yield* Effect.provide(
            load(),
            Layer.provide(DatabaseFile.layerReadOnly(file), NodeServices.layer)
          )
          assert.isTrue(seeded)
        })
      )
    )
  )

  it.live("is over when its process is killed", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* onDatabase(file, seed(EMPTY))
        const script = `
          const { DatabaseSync } = require("node:sqlite")
          const lock = new DatabaseSync(process.argv[1])
          lock.exec("BEGIN EXCLUSIVE")
          process.kill(process.pid, "SIGKILL")`
        const { signal } = spawnSync(process.execPath, ["-e", script, `${file}-lock`])
        assert.strictEqual(signal, "SIGKILL")
        assert.isTrue((yield* onDatabase(file, load())).seeded)
      })
    )
  )
})
