import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { spawn } from "node:child_process"
import { copyFileSync, renameSync } from "node:fs"
import { connect, createServer, type AddressInfo } from "node:net"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { EMPTY, type Change, type State } from "../../src/snapshot/Change.ts"
import { readSeeded } from "../../src/store/Seeding.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Conflict, Store, WriteFailed } from "../../src/store/Store.ts"
import { ruleOf } from "./CommitLoop.ts"
import { withFile } from "./Files.ts"
import { l4, l7, listenerOf } from "./RandomState.ts"

const state: State = {
  listeners: [listenerOf(":443", l4("a.test"), l7("b.test", [{ type: "require_header", value: "x-key" }]))],
  firewallRules: [{ type: "cidr", value: "10.0.0.0/8" }]
}

const never = () => Effect.die(new Error("the database is new"))

const storeOn = (file: string, seed = state, onStored: (state: State) => Effect.Effect<void> = never) =>
  SqliteStore.layer({ file, seed, beforeSeeding: Effect.void, onStored })

const block = (value: string): Change => [{ _tag: "PutRules", rules: [{ type: "ip", value }] }]

describe("a store in SQLite", () => {
  it.live("fills a new database once, and after that tells the state that is there", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const commitOne = Effect.flatMap(Store, (store) => store.commit(1, [block("192.0.2.1")]))
        assert.strictEqual(yield* Effect.provide(commitOne, storeOn(file)), 2)
        const told: Array<State> = []
        const again = storeOn(file, EMPTY, (stored) => Effect.sync(() => told.push(stored)))
        const loaded = yield* Effect.provide(
          Effect.flatMap(Store, (store) => store.load),
          again
        )
        const firewallRules = [...state.firewallRules, { type: "ip", value: "192.0.2.1" } as const]
        assert.deepStrictEqual(loaded, { revision: 2, ...state, firewallRules })
        assert.deepStrictEqual(told, [loaded])
        assert.deepStrictEqual(yield* readSeeded(file), loaded)
      })
    )
  )

  it.live("fills nothing when the state is refused, so that a better one can", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const refusing = SqliteStore.layer({
          file,
          seed: EMPTY,
          beforeSeeding: Effect.fail("no"),
          onStored: () => Effect.void
        })
        assert.strictEqual(yield* Effect.flip(Effect.scoped(Layer.build(refusing))), "no")
        assert.isUndefined(yield* readSeeded(file))
        const loaded = yield* Effect.provide(
          Effect.flatMap(Store, (store) => store.load),
          storeOn(file)
        )
        assert.deepStrictEqual(loaded, { revision: 1, ...state })
      })
    )
  )

  it.live("fills a file that a first run has only begun", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const begun = new DatabaseSync(file)
        begun.exec("PRAGMA journal_mode = WAL")
        begun.close()
        assert.isUndefined(yield* readSeeded(file))
        yield* Effect.scoped(Layer.build(storeOn(file)))
        assert.deepStrictEqual(yield* readSeeded(file), { revision: 1, ...state })
      })
    )
  )

  it.live("answers a conflict and a refused change as what they are, over the thread's border", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const store = yield* Store
        const conflict = yield* Effect.flip(store.commit(7, [block("192.0.2.1")]))
        assert.deepStrictEqual(conflict, new Conflict({ expected: 7, actual: 1 }))
        const orphan: Change = [{ _tag: "PutRoute", listener: ":80", route: l4("a.test") }]
        const refused = yield* Effect.flip(store.commit(1, [block("192.0.2.1"), orphan]))
        assert(refused instanceof WriteFailed && refused.certain)
        assert.deepStrictEqual(yield* store.load, { revision: 1, ...state })
      }).pipe(Effect.provide(storeOn(file)))
    )
  )

  it.live("makes one of two commits on the same revision, and tells the other of the conflict", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const store = yield* Store
        const answers = yield* Effect.all(
          ["192.0.2.1", "192.0.2.2"].map((ip) => Effect.result(store.commit(1, [block(ip)]))),
          { concurrency: "unbounded" }
        )
        assert.sameMembers(
          answers.map((answer) => answer._tag),
          ["Success", "Failure"]
        )
        assert.strictEqual((yield* store.load).revision, 2)
      }).pipe(Effect.provide(storeOn(file)))
    )
  )

  it.live("commits nothing to a file that was moved, removed or replaced, until it is back", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const store = yield* Store
        const [moved, other] = [`${file}.moved`, `${file}.other`]
        yield* store.commit(1, [block("192.0.2.1")])
        renameSync(file, moved)
        const assertRefused = Effect.gen(function* () {
          const refused = yield* Effect.flip(store.commit(2, [block("192.0.2.2")]))
          assert(refused instanceof WriteFailed && refused.certain)
          assert.include(refused.message, `${file}: was moved, removed or replaced`)
        })
        yield* assertRefused
        copyFileSync(moved, other)
        renameSync(other, file)
        yield* assertRefused
        renameSync(moved, file)
        assert.strictEqual(yield* store.commit(2, [block("192.0.2.3")]), 3)
        const rules = (yield* store.load).firewallRules.map(({ value }) => value)
        assert.deepStrictEqual(rules, ["10.0.0.0/8", "192.0.2.1", "192.0.2.3"])
      }).pipe(Effect.provide(storeOn(file)))
    )
  )

  it.live("leaves the main thread to its connections while a commit waits for another program's lock", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const store = yield* Store
        const other = new DatabaseSync(file)
        other.exec("BEGIN IMMEDIATE")
        const commit = yield* Effect.forkChild(store.commit(1, [block("192.0.2.1")]), { startImmediately: true })
        for (let i = 0; i < 100; i++) assert.strictEqual(yield* Effect.promise(() => echo(String(i))), String(i))
        assert.isUndefined(commit.pollUnsafe())
        other.exec("COMMIT")
        other.close()
        assert.strictEqual(yield* Fiber.join(commit), 2)
      }).pipe(Effect.provide(storeOn(file)))
    )
  )

  it.live("finishes a commit whose caller goes away", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const store = yield* Store
        const other = new DatabaseSync(file)
        other.exec("BEGIN IMMEDIATE")
        const commit = yield* Effect.forkChild(store.commit(1, [block("192.0.2.1")]), { startImmediately: true })
        const gone = yield* Effect.forkChild(Fiber.interrupt(commit), { startImmediately: true })
        other.exec("COMMIT")
        other.close()
        yield* Fiber.join(gone)
        assert.strictEqual((yield* store.load).revision, 2)
      }).pipe(Effect.provide(storeOn(file)))
    )
  )

  it.live("serves a thread that is not the main one, and lets it end", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* Effect.scoped(Layer.build(storeOn(file)))
        assert.deepStrictEqual(yield* Effect.promise(() => commitInThread(file)), { revisions: [1, 2], code: 0 })
        assert.strictEqual((yield* readSeeded(file))?.revision, 2)
      })
    )
  )

  it.live("keeps every acknowledged commit of a process that is killed while it commits", () =>
    withFile((file) =>
      Effect.gen(function* () {
        for (const acknowledgedMin of [1, 20, 45]) {
          const revision = yield* Effect.promise(() => commitUntilKilled(file, acknowledgedMin))
          const stored = yield* readSeeded(file)
          assert(stored !== undefined)
          // One more may have been committed and not answered.
          assert.include([revision, revision + 1], stored.revision)
          assert.deepStrictEqual(
            stored.firewallRules.map(({ value }) => value),
            Array.from({ length: stored.revision - 1 }, (_, i) => ruleOf(i + 1))
          )
        }
      })
    )
  )
})

/** One round trip over a connection of its own. */
const echo = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1", () => {
      const client = connect((server.address() as AddressInfo).port, "127.0.0.1", () => client.end(text))
      client.setEncoding("utf8").once("error", reject)
      client.once("data", (answer: string) => server.close(() => resolve(answer)))
    })
  })

/** What `OtherThread.ts` tells, and how it ends. */
const commitInThread = (file: string): Promise<{ readonly revisions: unknown; readonly code: number }> =>
  new Promise((resolve, reject) => {
    const thread = new Worker(new URL("OtherThread.ts", import.meta.url), { workerData: file })
    let revisions: unknown
    thread.once("message", (message: unknown) => {
      revisions = message
    })
    thread.once("error", reject)
    thread.once("exit", (code) => resolve({ revisions, code }))
  })

/** Kills it once so many commits are acknowledged; the revision of the last that was. */
const commitUntilKilled = (file: string, acknowledgedMin: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fileURLToPath(new URL("CommitLoop.ts", import.meta.url)), file])
    let printed = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text
      if (printed.split("\n").length > acknowledgedMin) child.kill("SIGKILL")
    })
    child.on("error", reject).on("close", (_, signal) => {
      // A line that was cut is of a commit that was answered, and whose number is not known.
      const revisions = printed.slice(0, printed.lastIndexOf("\n")).split("\n")
      if (signal === "SIGKILL") resolve(Number(revisions.at(-1)))
      else reject(new Error(`the loop ended by itself: ${printed}`))
    })
  })
