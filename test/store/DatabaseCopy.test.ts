import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { EMPTY, type Change, type State } from "../../src/snapshot/Change.ts"
import { commit, load, seed } from "../../src/store/Database.ts"
import { AlreadyThere, copyDatabase } from "../../src/store/DatabaseCopy.ts"
import { onDatabase, withFile } from "./Files.ts"
import { l7, listenerOf } from "./RandomState.ts"

const state: State = {
  listeners: [listenerOf(":443", l7("b.test", [{ type: "require_header", value: "x-key" }]))],
  firewallRules: [{ type: "cidr", value: "10.0.0.0/8" }]
}

describe("a copy of a database", () => {
  it.live("holds what is committed, and not what is being written, and is its owner's alone", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const folder = `${dirname(file)}/made/for it`
        const copy = `${folder}/copy.db`
        yield* onDatabase(
          file,
          Effect.gen(function* () {
            yield* seed(state)
            const change: Change = [{ _tag: "PutRules", rules: [{ type: "ip", value: "192.0.2.1" }] }]
            yield* commit(1, [change])
            const sql = yield* SqlClient.SqlClient
            yield* sql`BEGIN IMMEDIATE`
            yield* sql`DELETE FROM firewall_rules`
            const bytes = yield* copyDatabase(file, copy)
            yield* sql`ROLLBACK`
            assert.strictEqual(bytes, statSync(copy).size)
          })
        )
        assert.strictEqual(statSync(copy).mode & 0o777, 0o600)
        assert.strictEqual(statSync(folder).mode & 0o777, 0o700)
        assert.deepStrictEqual(readdirSync(folder), ["copy.db"])
        const { snapshot } = yield* onDatabase(copy, load())
        const firewallRules = [...state.firewallRules, { type: "ip", value: "192.0.2.1" } as const]
        assert.deepStrictEqual(snapshot, { revision: 2, ...state, firewallRules })
      })
    )
  )

  it.live("takes the place of nothing, and leaves nothing where it cannot be made", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* onDatabase(file, seed(EMPTY))
        const folder = `${dirname(file)}/backups`
        const copy = `${folder}/copy.db`
        mkdirSync(folder)
        writeFileSync(copy, "the operator's")
        assert.deepStrictEqual(yield* Effect.flip(copyDatabase(file, copy)), new AlreadyThere({ file: copy }))
        assert.strictEqual(readFileSync(copy, "utf8"), "the operator's")
        const below = yield* Effect.flip(copyDatabase(file, `${copy}/copy.db`))
        assert.strictEqual(below._tag, "DatabaseError")
        assert.match(below.message, /copy\.db\/copy\.db: cannot be written \(.*\); give another path$/)
        const nowhere = yield* Effect.flip(copyDatabase(file, "/proc/none/at/all/copy.db"))
        assert.match(nowhere.message, /at\/all\/copy\.db: cannot be written \(.*\); give another path$/)
        const missing = yield* Effect.flip(copyDatabase(`${file}.none`, `${folder}/new/other.db`))
        assert.match(missing.message, /none: cannot be made or found; check the path and its folder$/)
        assert.deepStrictEqual(readdirSync(folder), ["copy.db"])
      })
    )
  )
})
