/**
 * What the store costs beside the disk: `node bench/store.ts [FOLDER]`, on the file system of FOLDER.
 *
 * Rows a second are compared with raw commits of one row each by `node:sqlite`, in this thread, to a database of the
 * same content on the same disk, rounds interleaved. Times are of the clock, since the disk is what is waited for.
 * Nothing is asserted.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Path } from "effect"
import { tmpdir } from "node:os"
import type { Change } from "../src/snapshot/Change.ts"
import { copyDatabase } from "../src/store/DatabaseCopy.ts"
import * as SqliteStore from "../src/store/SqliteStore.ts"
import { Store } from "../src/store/Store.ts"
import { manyRules, ROUTES, rules, RULES } from "./ManyRules.ts"
import { RawCommits } from "./RawCommits.ts"
import { describeMachine } from "./Report.ts"
import { median } from "./Statistics.ts"

const ROUNDS = 7
const COMMITS_A_ROUND = 512

/** As many as wait for one commit when 32 callers each wait for their answer. */
const SHARED = 32

const print = (what: string, value: string) => console.log(`${what.padEnd(60)} ${value.padStart(14)}`)

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(effect, (value) => ({ value, millis: performance.now() - start }))
  })

const printTimed = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) =>
  Effect.map(timed(effect), ({ millis, value }) => {
    print(what, `${millis.toFixed(0)} ms`)
    return value
  })

const benchCommits = Effect.fnUntraced(function* (store: Store["Service"], rawFile: string) {
  const raw = yield* RawCommits.open(rawFile)
  let { revision } = yield* store.load
  const commit = (changes: ReadonlyArray<Change>) =>
    Effect.map(store.commit(revision, changes), (reached) => {
      revision = reached
    })
  const subjects = new Map<string, (addresses: ReadonlyArray<Change>) => Effect.Effect<unknown, unknown>>([
    [
      "raw single-row commits",
      (changes) =>
        Effect.sync(() => {
          for (const [edit] of changes) if (edit?._tag === "PutRules") raw.add(edit.rules)
        })
    ],
    ["Store.commit, one change", (changes) => Effect.forEach(changes, (change) => commit([change]), { discard: true })],
    [
      `Store.commit, ${SHARED} changes`,
      (changes) =>
        Effect.forEach(
          Array.from({ length: changes.length / SHARED }, (_, i) => changes.slice(i * SHARED, (i + 1) * SHARED)),
          commit,
          { discard: true }
        )
    ]
  ])
  const rates = new Map<string, Array<number>>([...subjects.keys()].map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    let network = 100 + round * subjects.size
    for (const [name, run] of subjects) {
      const changes = rules(network++, COMMITS_A_ROUND).map((rule): Change => [{ _tag: "PutRules", rules: [rule] }])
      const { millis } = yield* timed(run(changes))
      rates.get(name)?.push((COMMITS_A_ROUND / millis) * 1000)
    }
  }
  const [bare = []] = rates.values()
  for (const [name, ofName] of rates) {
    const ratio = median(ofName.map((rate, round) => rate / bare[round]!))
    print(`${name}: rows a second, and times raw`, `${median(ofName).toFixed(0)} ${ratio.toFixed(2)}`)
  }
})

const bench = Effect.gen(function* () {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = yield* fileSystem.makeTempDirectoryScoped({ directory: process.argv[2] ?? tmpdir() })
  const file = path.join(folder, "mc-proxy.db")
  const options = {
    file,
    seed: manyRules(":443", "127.0.0.1:1"),
    beforeSeeding: Effect.void,
    onStored: () => Effect.void
  }
  console.log(`${describeMachine()}\n${ROUTES} routes and ${RULES} rules, in ${folder}\n`)

  const load = Effect.flatMap(Store, (store) => store.load)
  yield* printTimed("first start: filled, opened and loaded", Effect.provide(load, SqliteStore.layer(options)))
  yield* printTimed("later start: opened and loaded", Effect.provide(load, SqliteStore.layer(options)))
  const rawFile = path.join(folder, "raw.db")
  yield* copyDatabase(file, rawFile)
  yield* Effect.gen(function* () {
    const store = yield* Store
    yield* benchCommits(store, rawFile)
    const { revision } = yield* printTimed("load, once more", store.load)
    const imported: Change = [{ _tag: "PutRules", rules: rules(11, RULES) }]
    const removed: Change = [{ _tag: "RemoveRules", rules: rules(11, RULES) }]
    yield* printTimed(`commit of ${RULES} rules`, store.commit(revision, [imported]))
    yield* printTimed(`commit of their removal`, store.commit(revision + 1, [removed]))
  }).pipe(Effect.provide(SqliteStore.layer(options)))
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

NodeRuntime.runMain(bench)
