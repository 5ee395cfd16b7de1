/**
 * `npm run bench:metrics -- [NODE_OPTION...]`: what a scrape of 10,000 routes does to connections.
 *
 * Each route has a backend of its own and is on L7, so that it has every series there is. One scrape follows the other
 * while a probe connects through the proxy; what its connections wait is compared with what they wait in the same time
 * without.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Path } from "effect"
import type { State } from "../src/snapshot/Change.ts"
import * as SqliteStore from "../src/store/SqliteStore.ts"
import { Store } from "../src/store/Store.ts"
import { ProbeAnswer, ProbeReady, type ProbeRequest } from "./AdminProtocol.ts"
import { forkFile, receive, type Child } from "./Child.ts"
import { longestDelays, noteDelaysIn } from "./LoopDelay.ts"
import { manyRules, ROUTES } from "./ManyRules.ts"
import { describeMachine, formatTable } from "./Report.ts"
import { startBinary } from "./Subject.ts"

/** In a row; the machine's own pauses are in some, those of the proxy in all. */
const SCRAPES = 10

/** How often they are done. */
const TRIES = 3

const LISTENER = "127.0.0.1:0"
const METRICS = "127.0.0.1:19090"

/** The routes of the other benches, each on L7 and with a backend of its own. */
const manyHosts = (backend: string): State => {
  const { listeners } = manyRules(LISTENER, backend)
  return {
    firewallRules: [],
    listeners: listeners.map((listener) => ({
      ...listener,
      routes: listener.routes.map((route, i) =>
        route.backend === backend
          ? route
          : {
              ...route,
              backend: `10.0.${i >> 8}.${i & 255}:443`,
              mode: "l7",
              tlsCert: "/none.pem",
              tlsKey: "/none.key",
              backendProtocol: "h2",
              backendTls: false,
              backendCa: "",
              backendServerName: "",
              l7Policies: []
            }
      )
    }))
  }
}

/** Milliseconds for all, and the length of the last page. */
const scrapeAll = Effect.promise(async () => {
  const startedAt = performance.now()
  let bytes = 0
  for (let i = 0; i < SCRAPES; i++) bytes = (await (await fetch(`http://${METRICS}/metrics`)).bytes()).length
  return { bytes, wallMs: performance.now() - startedAt }
})

interface Setup {
  readonly probe: Child
  readonly port: number
  readonly delays: string
}

/** What connections wait while something is done. */
const probing = Effect.fnUntraced(function* <A, E>({ delays, port, probe }: Setup, during: Effect.Effect<A, E>) {
  const since = Date.now()
  probe.process.send({ _tag: "Start", port } satisfies ProbeRequest)
  const done = yield* during
  const waits = yield* receive(probe, ProbeAnswer, { _tag: "Stop" } satisfies ProbeRequest)
  const { busyMs, lateMs } = longestDelays(delays, since)
  return { done, columns: [waits.worstMs, waits.p99Ms, lateMs, busyMs].map((ms) => ms.toFixed(1)) }
})

const configOf = (database: string): string => `
[database]
path = ${JSON.stringify(database)}
[log]
access = false
[metrics]
addr = "${METRICS}"
[[listeners]]
addr = "${LISTENER}"
`

const bench = Effect.gen(function* () {
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const path = yield* Path.Path
  const file = path.join(folder, "mc-proxy.db")
  const delays = path.join(folder, "delays.jsonl")
  const probe = yield* forkFile("AdminProbe.ts")
  const { backend } = yield* receive(probe, ProbeReady)
  const layerStore = SqliteStore.layer({
    file,
    seed: manyHosts(backend),
    beforeSeeding: Effect.void,
    onStored: () => Effect.void
  })
  yield* Store.pipe(Effect.provide(layerStore))
  const { port } = yield* startBinary(folder, configOf(file), [...process.argv.slice(2), ...noteDelaysIn(delays)])
  const setup = { delays, port, probe }
  // In the first, code is compiled.
  yield* scrapeAll
  const rows: Array<ReadonlyArray<string>> = []
  for (let i = 0; i < TRIES; i++) {
    const { columns, done } = yield* probing(setup, scrapeAll)
    const quiet = yield* probing(setup, Effect.sleep(done.wallMs))
    const scrape = [(done.wallMs / SCRAPES).toFixed(0), (done.bytes / 1e6).toFixed(1)]
    rows.push([`${SCRAPES} scrapes`, ...scrape, ...columns, ...quiet.columns])
  }
  const columns = ["worst ms", "p99", "late", "busy"]
  console.log(describeMachine())
  console.log(
    formatTable([[`${ROUTES} routes`, "ms each", "MB", ...columns, ...columns.map((name) => `quiet ${name}`)], ...rows])
  )
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

NodeRuntime.runMain(bench)
