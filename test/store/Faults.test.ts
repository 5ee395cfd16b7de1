import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { spawnSync } from "node:child_process"
import { copyFileSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { diff, EMPTY, type Change, type State } from "../../src/snapshot/Change.ts"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { commit, load, seed, type Database } from "../../src/store/Database.ts"
import * as DatabaseFile from "../../src/store/DatabaseFile.ts"
import { WriteFailed, type Conflict } from "../../src/store/Store.ts"
import { faultySql, type Fault } from "./FaultySql.ts"
import { onDatabase, tamper, withFile } from "./Files.ts"
import { hostname, l4, l7, listenerOf } from "./RandomState.ts"

const policies = [
  { type: "require_header", value: "x-key" },
  { type: "block_user_agent", value: "Bad Bot" }
] as const

const state: State = {
  listeners: [listenerOf(":443", l4("a.test"), l7("b.test", policies)), listenerOf(":8443", l4("c.test"))],
  firewallRules: [
    { type: "cidr", value: "10.0.0.0/8" },
    { type: "country", value: "DE" }
  ]
}

const other: State = {
  listeners: [listenerOf(":443", l7("a.test", policies), l4("d.test")), listenerOf(":80", l4("b.test"))],
  firewallRules: [{ type: "ip", value: "192.0.2.1" }]
}

const addresses = (network: number, count: number): ReadonlyArray<FirewallRule> =>
  Array.from({ length: count }, (_, i) => ({ type: "ip", value: `10.${network}.${i >> 8}.${i & 255}` }))

const { routes: _, ...settings } = listenerOf(":443")

/** Every kind of edit and of mutation. */
const COMMITS: Readonly<Record<string, ReadonlyArray<Change>>> = {
  "a new route": [[{ _tag: "PutRoute", listener: ":8443", route: l4("d.test") }]],
  "a new L7 route with its policies": [[{ _tag: "PutRoute", listener: ":8443", route: l7("d.test", policies) }]],
  "a route in the place of another": [[{ _tag: "PutRoute", listener: ":443", route: l7("b.test", [policies[1]]) }]],
  "an L4 route in the place of an L7 one": [[{ _tag: "PutRoute", listener: ":443", route: l4("b.test") }]],
  "a route's removal": [[{ _tag: "RemoveRoute", listener: ":443", hostname: hostname("b.test") }]],
  "a new listener": [[{ _tag: "PutListener", listener: { ...settings, addr: ":80" } }]],
  "a listener's new settings": [
    [{ _tag: "PutListener", listener: { ...settings, maxConnections: 7, trustedProxies: ["10.0.0.0/8"] } }]
  ],
  "a listener's removal": [[{ _tag: "RemoveListener", addr: ":443" }]],
  "a new rule": [[{ _tag: "PutRules", rules: addresses(0, 1) }]],
  "many new rules": [[{ _tag: "PutRules", rules: addresses(0, 1000) }]],
  "the removal of rules": [[{ _tag: "RemoveRules", rules: state.firewallRules }]],
  "an import": [diff(state, other)],
  "several mutations at once": [
    [{ _tag: "PutRules", rules: addresses(0, 1) }],
    [{ _tag: "RemoveListener", addr: ":8443" }],
    [{ _tag: "PutRoute", listener: ":443", route: l7("d.test", policies) }]
  ]
}

const SQLITE_BUSY = 5
const SQLITE_IOERR = 10
const SQLITE_IOERR_FSYNC = 1034
const SQLITE_FULL = 13

type Write = Effect.Effect<number, Conflict | WriteFailed, Database>

/** Every row, so that nothing hides behind the reading of it. */
const contents = (file: string): unknown => {
  const database = new DatabaseSync(file, { readOnly: true })
  const tables = ["meta", "listeners", "routes", "l7_policies", "firewall_rules"]
  const rows = tables.map((table) => database.prepare(`SELECT * FROM ${table} ORDER BY id`).all())
  database.close()
  return rows
}

/** What `write` answers when `fault` happens to it, what it ran, and what there was before and after. */
const withFault = Effect.fnUntraced(function* (original: string, write: Write, fault?: Fault) {
  const file = `${dirname(original)}/copy.db`
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true })
  copyFileSync(original, file)
  return yield* Effect.gen(function* () {
    const before = contents(file)
    const { answer, statements } = yield* Effect.scoped(
      Effect.gen(function* () {
        const { layer, statements } = yield* faultySql(fault)
        return { answer: yield* Effect.result(Effect.provide(write, layer)), statements }
      })
    )
    const after = contents(file)
    return { answer, statements, before, after, again: yield* Effect.result(write) }
  }).pipe(Effect.provide(DatabaseFile.layerChecked(file)))
})

/** Fails each statement in turn, in each way; `write` then has to do as if nothing had been. */
const failEverywhere = Effect.fnUntraced(function* (file: string, write: Write) {
  const { answer: first, after: written, statements: ran } = yield* withFault(file, write)
  assert.strictEqual(ran[0], "BEGIN IMMEDIATE")
  assert.strictEqual(ran.at(-1), "COMMIT")
  assert(Result.isSuccess(first))
  for (const [at, sql] of ran.entries()) {
    for (const kind of ["refused", "undone"] as const) {
      for (const code of [SQLITE_BUSY, SQLITE_IOERR, SQLITE_FULL]) {
        const { after, again, answer, before, statements } = yield* withFault(file, write, { at, kind, code })
        assert(Result.isFailure(answer) && answer.failure instanceof WriteFailed)
        assert.strictEqual(answer.failure.certain, sql !== "COMMIT" || code !== SQLITE_IOERR)
        assert.deepStrictEqual(after, before)
        assert.deepStrictEqual(again, first)
        assert.deepStrictEqual(statements, [...ran.slice(0, at + 1), ...(at === 0 ? [] : ["ROLLBACK"])])
      }
    }
  }
  const late: Fault = { at: ran.length - 1, kind: "done", code: SQLITE_IOERR_FSYNC }
  const { after, answer } = yield* withFault(file, write, late)
  assert(Result.isFailure(answer) && answer.failure instanceof WriteFailed && !answer.failure.certain)
  assert.deepStrictEqual(after, written)
})

describe("a write that fails at any of its statements is undone, says so, and does not hinder the next:", () => {
  for (const [name, changes] of Object.entries(COMMITS)) {
    it.effect(name, () =>
      withFile((file) =>
        Effect.gen(function* () {
          yield* onDatabase(file, seed(state))
          yield* failEverywhere(file, commit(1, changes))
        })
      )
    )
  }

  it.effect("the first filling", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* onDatabase(file, Effect.void)
        yield* failEverywhere(file, seed(state))
      })
    )
  )
})

/** Needs the right to mount; where that is missing, a limit on the pages of the file has to do. */
const smallDisk = (folder: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", folder])),
    () => Effect.sync(() => void spawnSync("umount", [folder]))
  )

const mayMount = ((): boolean => {
  const folder = mkdtempSync(join(tmpdir(), "mc-proxy-mount-"))
  const mounted = spawnSync("mount", ["-t", "tmpfs", "none", folder]).status === 0
  if (mounted) spawnSync("umount", [folder])
  rmSync(folder, { recursive: true })
  return mounted
})()

const refusal = (file: string, problem: string) => new WriteFailed({ problem: `${file}: ${problem}`, certain: true })

describe("a commit says what is in its way and what to do, and changes nothing, when", () => {
  it.live.skipIf(!mayMount)("the disk is full, until there is room again", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* smallDisk(dirname(file))
        yield* onDatabase(
          file,
          Effect.gen(function* () {
            yield* seed(state)
            const filler = `${dirname(file)}/filler`
            const room = statfsSync(dirname(file))
            writeFileSync(filler, Buffer.alloc(room.bavail * room.bsize))
            const full = refusal(file, "cannot grow, because the disk is full; make room")
            const change: Change = [{ _tag: "PutRules", rules: addresses(0, 1000) }]
            assert.deepStrictEqual(yield* Effect.flip(commit(1, [change])), full)
            assert.deepStrictEqual((yield* load()).snapshot, { revision: 1, ...state })
            rmSync(filler)
            assert.strictEqual(yield* commit(1, [change]), 2)
          })
        )
        assert.strictEqual((yield* onDatabase(file, load())).snapshot.revision, 2)
      })
    )
  )

  it.live("the file may not grow, and SQLite undoes the change before it is told to", () =>
    withFile((file) =>
      onDatabase(
        file,
        Effect.gen(function* () {
          yield* seed(state)
          const sql = yield* SqlClient.SqlClient
          const [pages] = yield* sql<{ readonly page_count: number }>`PRAGMA page_count`
          yield* sql`PRAGMA max_page_count = ${sql.literal(String(pages?.page_count))}`
          const trustedProxies = addresses(0, 5000).map(({ value }) => value)
          const change: Change = [
            { _tag: "RemoveListener", addr: ":8443" },
            { _tag: "PutListener", listener: { ...settings, trustedProxies } }
          ]
          const full = refusal(file, "cannot grow, because the disk is full; make room")
          assert.deepStrictEqual(yield* Effect.flip(commit(1, [change])), full)
          assert.deepStrictEqual((yield* load()).snapshot, { revision: 1, ...state })
          assert.strictEqual(yield* commit(1, [diff(state, EMPTY)]), 2)
        })
      )
    )
  )

  it.live("the file is read-only", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* onDatabase(file, seed(state))
        const readOnly = DatabaseFile.layerReadOnly(file)
        const failed = yield* Effect.flip(Effect.provide(commit(1, [diff(state, EMPTY)]), readOnly))
        const problem = "is read-only; let the user that runs mc-proxy write the file and its folder"
        assert.deepStrictEqual(failed, refusal(file, problem))
        assert.deepStrictEqual((yield* onDatabase(file, load())).snapshot, { revision: 1, ...state })
      })
    )
  )

  it.live("another program keeps its lock for longer than is waited for it", () =>
    withFile((file) =>
      onDatabase(
        file,
        Effect.gen(function* () {
          yield* seed(state)
          const sql = yield* SqlClient.SqlClient
          yield* sql`PRAGMA busy_timeout = 10`
          const other = new DatabaseSync(file)
          other.exec("BEGIN IMMEDIATE; DELETE FROM firewall_rules")
          const problem = `${file}: is locked by another program; end that one, or wait for it`
          const locked = new WriteFailed({ problem, certain: true, locked: true })
          assert.deepStrictEqual(yield* Effect.flip(commit(1, [diff(state, EMPTY)])), locked)
          other.exec("ROLLBACK")
          other.close()
          assert.deepStrictEqual((yield* load()).snapshot, { revision: 1, ...state })
          assert.strictEqual(yield* commit(1, [diff(state, EMPTY)]), 2)
        })
      )
    )
  )

  it.live("its one row of meta is gone", () =>
    withFile((file) =>
      onDatabase(
        file,
        Effect.gen(function* () {
          yield* seed(state)
          yield* tamper(file, "DELETE FROM meta")
          const problem = "has no row in its table meta, which mc-proxy never removes; restore a snapshot"
          assert.deepStrictEqual(yield* Effect.flip(commit(1, [diff(state, EMPTY)])), refusal(file, problem))
        })
      )
    )
  )
})
