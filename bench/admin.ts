/**
 * `npm run bench:admin -- [FOLDER [NODE_OPTION...]]`: what the admin API manages, with a database on the file system of
 * FOLDER, and the options for the proxy's Node.
 *
 * Mutations by gRPC, one row each, are compared with raw commits of one row by `node:sqlite`, to a copy of the database
 * on the same disk, rounds interleaved. Then a hundred thousand rules are added and removed in one call, while a probe
 * connects through the proxy; what its connections wait is compared with what they wait in the same time without, and
 * with when the machine ran nobody.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Path, type Scope } from "effect"
import { tmpdir } from "node:os"
import { copyDatabase } from "../src/store/DatabaseCopy.ts"
import * as SqliteStore from "../src/store/SqliteStore.ts"
import { Store } from "../src/store/Store.ts"
import {
  type AdminTask,
  ProbeAnswer,
  ProbeReady,
  type ProbeRequest,
  RunTask,
  TaskDone,
  TaskReady
} from "./AdminProtocol.ts"
import type { BenchError } from "./BenchError.ts"
import { forkFile, receive, type Child } from "./Child.ts"
import { longestDelays, noteDelaysIn } from "./LoopDelay.ts"
import { notePausesIn } from "./MachinePauses.ts"
import { manyRules, ROUTES, RULES, rules } from "./ManyRules.ts"
import { RawCommits } from "./RawCommits.ts"
import { describeMachine, formatTable } from "./Report.ts"
import { median } from "./Statistics.ts"
import { startBinary } from "./Subject.ts"

/** Each waits for its answer before it asks again. */
const CALLERS = 32

const ROUNDS = 10

/** Before those that count: it takes some thousands of calls until all that they run is compiled. */
const ROUNDS_TO_WARM_UP = 3

/** Added and removed in a round, so that there are twice as many mutations. */
const ITEMS_A_ROUND = 512

/** How often each import is done. The machine's own pauses are in every one, those of the proxy in all. */
const TRIES = 5

/** Until all that connections run is compiled, Node's streams included: closed ones burden the collector until then. */
const WARM_UP = "30 seconds"

/**
 * The probe's collector took a processor for up to four milliseconds at a time, in which a connection waited for the
 * probe itself, or for a proxy that waited behind it.
 */
const RARELY_COLLECTING = ["--min-semi-space-size=64", "--max-semi-space-size=64", "--heap-growing-percent=300"]

const LISTENER = "127.0.0.1:0"

interface Setup {
  readonly callers: Child
  readonly probe: Child
  /** Of the probe's route. */
  readonly backend: string
  /** Of the proxy's listener. */
  readonly port: number
  readonly raw: RawCommits
  /** Where the proxy notes when its main thread was late. */
  readonly delays: string
  /** Where it is noted when the machine ran nobody; `undefined`: that cannot be told. */
  readonly pauses: string | undefined
}

const prepare = ({ callers }: Setup, task: AdminTask) => receive(callers, TaskReady, task)

/** What was prepared; milliseconds from the first call to the last answer. */
const run = ({ callers }: Setup): Effect.Effect<number, BenchError> =>
  Effect.map(receive(callers, TaskDone, RunTask.make({})), ({ wallMs }) => wallMs)

const ask = (setup: Setup, task: AdminTask) => Effect.andThen(prepare(setup, task), run(setup))

/** Mutations a second of each kind, and times raw in the same round. */
const benchMutations = Effect.fnUntraced(function* (setup: Setup) {
  const rates = new Map<string, Array<number>>()
  for (let round = 1 - ROUNDS_TO_WARM_UP; round <= ROUNDS; round++) {
    const [network, rawNetwork] = [100 + round, 200 + round]
    const times: ReadonlyArray<readonly [string, number]> = [
      ["raw commits of one row", rawMillis(setup.raw, rawNetwork)],
      ["addFirewallRule, removeFirewallRule", yield* ask(setup, { _tag: "Rules", network, count: ITEMS_A_ROUND })],
      ["addRoute, removeRoute", yield* ask(setup, { _tag: "Routes", listener: LISTENER, count: ITEMS_A_ROUND })]
    ]
    if (round < 1) continue
    for (const [name, millis] of times) {
      rates.set(name, [...(rates.get(name) ?? []), (2 * ITEMS_A_ROUND * 1000) / millis])
    }
  }
  const [raw = []] = rates.values()
  const rows = [...rates].map(([name, ofName]) => {
    const ratio = median(ofName.map((rate, round) => rate / raw[round]!))
    return [name, median(ofName).toFixed(0), ratio.toFixed(2)]
  })
  console.log(formatTable([["one row each", "a second", "x raw"], ...rows]))
})

const rawMillis = (raw: RawCommits, network: number): number => {
  const rows = rules(network, ITEMS_A_ROUND)
  const startedAt = performance.now()
  raw.add(rows)
  raw.remove(rows)
  return performance.now() - startedAt
}

/** Each puts back what the one before has changed. */
const imports = ({ backend }: Setup): ReadonlyArray<readonly [string, AdminTask]> => [
  ["ApplyFirewallRules, add", { _tag: "AddRules", network: 11 }],
  ["ApplyFirewallRules, remove", { _tag: "RemoveRules", network: 11 }],
  ["ImportState, add", { _tag: "Import", listener: LISTENER, backend, networks: [10, 11] }],
  ["ImportState, remove", { _tag: "Import", listener: LISTENER, backend, networks: [10] }]
]

interface Watched {
  readonly waits: ProbeAnswer
  /** Of the proxy's main thread. */
  readonly lateMs: number
  readonly busyMs: number
  /** The longest that the machine ran nobody; 0 where that cannot be told. */
  readonly pausedMs: number
}

/** What connections wait while something is done. */
const probing = Effect.fnUntraced(function* <E>(
  { delays, pauses, port, probe }: Setup,
  during: Effect.Effect<void, E>
) {
  const since = Date.now()
  probe.process.send({ _tag: "Start", port } satisfies ProbeRequest)
  yield* during
  const waits = yield* receive(probe, ProbeAnswer, { _tag: "Stop" } satisfies ProbeRequest)
  const pausedMs = pauses === undefined ? 0 : longestDelays(pauses, since).lateMs
  return { waits, ...longestDelays(delays, since), pausedMs } satisfies Watched
})

const benchImports = Effect.fnUntraced(function* (setup: Setup) {
  const rows: Array<ReadonlyArray<string>> = []
  const tries: Array<Try> = []
  yield* probing(setup, Effect.sleep(WARM_UP))
  for (let i = 0; i < TRIES; i++) {
    for (const [name, task] of imports(setup)) {
      let wallMs = 0
      const done = Effect.map(run(setup), (millis) => {
        wallMs = millis
      })
      yield* prepare(setup, task)
      const meanwhile = yield* probing(setup, done)
      const quiet = yield* probing(setup, Effect.sleep(wallMs))
      rows.push([name, wallMs.toFixed(0), ...formatWatched(meanwhile), ...formatWatched(quiet)])
      tries.push({ name, meanwhile, quiet })
    }
  }
  const columns = ["worst ms", "p99", "probe late", "late", "busy", "machine"]
  console.log(
    formatTable([[`${RULES} rules`, "took ms", ...columns, ...columns.map((name) => `quiet ${name}`)], ...rows])
  )
  console.log(`\n${formatWorst(tries)}`)
})

/** In one import, and in as long without. */
interface Try {
  readonly name: string
  readonly meanwhile: Watched
  readonly quiet: Watched
}

/** The longest that a connection waited in each kind of import, over its tries. */
const formatWorst = (tries: ReadonlyArray<Try>): string => {
  const bySize = (watched: ReadonlyArray<Watched>) => watched.toSorted((a, b) => a.waits.worstMs - b.waits.worstMs)
  const middle = (watched: ReadonlyArray<Watched>) => median(watched.map(({ waits }) => waits.worstMs)).toFixed(1)
  const rows = [...Map.groupBy(tries, ({ name }) => name)].map(([name, ofName]) => {
    const [meanwhile, quiet] = [ofName.map(({ meanwhile }) => meanwhile), ofName.map(({ quiet }) => quiet)]
    return [
      name,
      middle(meanwhile),
      ...bySize(meanwhile).map(formatWait),
      middle(quiet),
      formatWait(bySize(quiet).at(-1)!)
    ]
  })
  const columns = ["median", ...Array.from({ length: TRIES }, (_, i) => String(i + 1)), "quiet median", "quiet worst"]
  return formatTable([["worst ms, the tries by size", ...columns], ...rows])
}

/** A star: the machine ran nobody for some of that, or at another time in that import. */
const formatWait = ({ pausedMs, waits }: Watched): string => `${waits.worstMs.toFixed(1)}${pausedMs > 0 ? "*" : " "}`

const formatWatched = ({ busyMs, lateMs, pausedMs, waits }: Watched) => [
  waits.worstMs.toFixed(1),
  waits.p99Ms.toFixed(1),
  waits.lateMs.toFixed(1),
  lateMs.toFixed(1),
  busyMs.toFixed(1),
  pausedMs.toFixed(1)
]

const configOf = (database: string): string => `
[database]
path = ${JSON.stringify(database)}
[log]
access = false
[grpc]
addr = "admin.sock"
[[listeners]]
addr = "${LISTENER}"
`

/** A database with everything, a copy of it, the proxy on the first, and those who ask and connect. */
const setUp = Effect.fnUntraced(function* (
  folder: string,
  nodeOptions: ReadonlyArray<string>
): Effect.fn.Return<Setup, unknown, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const path = yield* Path.Path
  const file = path.join(folder, "mc-proxy.db")
  const rawFile = path.join(folder, "raw.db")
  const delays = path.join(folder, "delays.jsonl")
  const pauses = path.join(folder, "pauses.jsonl")
  const probe = yield* forkFile("AdminProbe.ts", [], RARELY_COLLECTING)
  const { backend } = yield* receive(probe, ProbeReady)
  const seed = manyRules(LISTENER, backend)
  yield* Store.pipe(
    Effect.provide(SqliteStore.layer({ file, seed, beforeSeeding: Effect.void, onStored: () => Effect.void }))
  )
  yield* copyDatabase(file, rawFile)
  const raw = yield* RawCommits.open(rawFile)
  const { port } = yield* startBinary(folder, configOf(file), [...nodeOptions, ...noteDelaysIn(delays)])
  const callers = yield* forkFile(
    "AdminCallers.ts",
    [path.join(folder, "admin.sock"), String(CALLERS)],
    ["--expose-gc"]
  )
  const isNoted = yield* notePausesIn(pauses)
  return { backend, callers, delays, pauses: isNoted ? pauses : undefined, port, probe, raw }
})

const bench = Effect.gen(function* () {
  const fileSystem = yield* FileSystem.FileSystem
  const [directory = tmpdir(), ...nodeOptions] = process.argv.slice(2)
  const folder = yield* fileSystem.makeTempDirectoryScoped({ directory })
  const setup = yield* setUp(folder, nodeOptions)
  console.log(`${describeMachine()}\n${ROUTES} routes, ${RULES} rules, ${CALLERS} callers, in ${folder}\n`)
  yield* benchMutations(setup)
  yield* benchImports(setup)
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

NodeRuntime.runMain(bench)
