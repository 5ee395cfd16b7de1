import * as NodeWorker from "@effect/platform-node/NodeWorker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { DatabaseSync } from "node:sqlite"
import { Worker } from "node:worker_threads"
import { EMPTY, type Change } from "../../src/snapshot/Change.ts"
import { seed } from "../../src/store/Database.ts"
import * as DatabaseFile from "../../src/store/DatabaseFile.ts"
import { WriteFailed } from "../../src/store/Store.ts"
import * as StoreThread from "../../src/store/StoreThread.ts"
import { onDatabase, withFile } from "./Files.ts"

const block = (value: string): Change => [{ _tag: "PutRules", rules: [{ type: "ip", value }] }]

/** A store whose threads are `spawn`'s, on a database that was filled. */
const storeOn = Effect.fnUntraced(function* (file: string, spawn: (file: string) => Worker) {
  yield* onDatabase(file, seed(EMPTY))
  yield* DatabaseFile.claim(file)
  return yield* Effect.provide(
    StoreThread.make(file),
    NodeWorker.layer(() => spawn(file))
  )
})

describe("the store's thread", () => {
  it.live("fails what it was asked when it is lost, and is followed by one that knows what was committed", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const threads: Array<Worker> = []
        const store = yield* storeOn(file, (of) => {
          const thread = StoreThread.spawn(of)
          threads.push(thread)
          return thread
        })
        assert.strictEqual(yield* store.commit(1, [block("192.0.2.1")]), 2)
        const other = new DatabaseSync(file)
        other.exec("BEGIN IMMEDIATE")
        const commit = yield* Effect.forkChild(Effect.flip(store.commit(2, [block("192.0.2.2")])), {
          startImmediately: true
        })
        const load = yield* Effect.forkChild(Effect.flip(store.load), { startImmediately: true })
        const ended = threads[0]!.terminate()
        other.exec("ROLLBACK")
        other.close()
        yield* Effect.promise(() => ended)
        const failed = yield* Fiber.join(commit)
        assert(failed instanceof WriteFailed && !failed.certain)
        const problem = /^\S+\/mc-proxy\.db: has lost the thread that owns it \(.*\); .* try again$/
        assert.match(failed.message, problem)
        assert.match((yield* Fiber.join(load)).message, problem)
        const { firewallRules, revision } = yield* store.load
        assert.include([2, 3], revision)
        assert.strictEqual(firewallRules.length, revision - 1)
        assert.strictEqual(yield* store.commit(revision, [block("192.0.2.3")]), revision + 1)
        assert.strictEqual(threads.length, 2)
      })
    )
  )

  it.live("answers with failures while it cannot be started, and hinders nobody who leaves", () =>
    withFile((file) =>
      Effect.gen(function* () {
        const store = yield* storeOn(file, () => new Worker("process.exit(1)", { eval: true }))
        const failed = yield* Effect.flip(store.commit(1, [block("192.0.2.1")]))
        assert(failed instanceof WriteFailed && !failed.certain)
        assert.match((yield* Effect.flip(store.load)).message, /has lost the thread that owns it/)
      })
    )
  )
})
