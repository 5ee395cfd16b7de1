/**
 * One simulation: everything that its seed has drawn is played to the end, and then judged.
 *
 * It ends when the edge has stopped, every client has left and the second proxy has stopped too; nothing may be left
 * then, no fiber, no socket, no sleep and nothing on its way.
 */
import { Context, Deferred, Effect, Exit, Layer } from "effect"
import { Network } from "../../net/Network.ts"
import { SimNetwork } from "../../net/sim/SimNetwork.ts"
import { SimStore } from "../../store/SimStore.ts"
import { SimProxy } from "../SimProxy.ts"
import { SimRuntime, SimStuck } from "../SimRuntime.ts"
import { runBackend } from "./Backend.ts"
import { certificateFiles } from "./Certificate.ts"
import { CHECKS } from "./Checks.ts"
import { watchState } from "./checks/State.ts"
import { runClient } from "./Client.ts"
import { runEdge, type Replacement } from "./Edge.ts"
import { Journal } from "./Journal.ts"
import { runOperator } from "./Operator.ts"
import { StatementPlaces } from "./FaultPlan.ts"
import { drawPlan, type Plan } from "./Plan.ts"
import { runFault } from "./Saboteur.ts"
import type { Left, SimRun } from "./SimRun.ts"
import { EDGE_IPS, INNER_IP } from "./Site.ts"
import { runWebBackend } from "./WebBackend.ts"
import type { World } from "./World.ts"

export interface SimulateOptions {
  /** Services of one's own in the edge proxy. */
  readonly replace?: Replacement
}

export interface Simulation extends SimRun {
  /** What was promised and not kept; empty when all is well. */
  readonly violations: ReadonlyArray<string>
}

export const simulate = async (seed: number, { replace = Layer.empty }: SimulateOptions = {}): Promise<Simulation> => {
  const plan = drawPlan(seed)
  const files = await certificateFiles()
  const settled = { call: () => {} }
  const runtime = new SimRuntime({ seed, shuffled: plan.shuffled, onSettled: () => settled.call() })
  const journal = new Journal(runtime.now)
  const world: Records = { clientRecords: [], visits: [], requests: [], served: [], webVisits: [] }
  const program = Effect.gen(function* () {
    const network = yield* SimNetwork
    const whole = makeWorld(plan, files, journal, network, world)
    settled.call = () => {
      watchBudget(whole)
      watchState(whole)
    }
    yield* Effect.scoped(Effect.andThen(play(whole, replace), Effect.sleep(AFTERWARDS_MS)))
    // Now the backends and the second proxy have gone, too.
    yield* Effect.sleep(AFTERWARDS_MS)
    return {
      // The one that asks is a fiber, too.
      fibers: runtime.liveFibers - 1,
      sleeps: runtime.pendingSleeps,
      sockets: network.openSockets(),
      networkEvents: network.pendingEvents()
    } satisfies Left
  }).pipe(Effect.provide(layerNetwork(plan, journal)), Effect.scoped)
  const left = await runToEnd(runtime, journal, program)
  const { clientRecords: clients, requests, served, visits } = world
  const run: SimRun = { plan, events: journal.events, clients, visits, requests, served, left }
  const noted = journal.events.flatMap((event) => (event._tag === "Violated" ? [event.problem] : []))
  return { ...run, violations: [...noted, ...CHECKS.flatMap((check) => check(run))] }
}

type Records = Pick<World, "clientRecords" | "visits" | "requests" | "served" | "webVisits">

/** Longer than anything takes to arrive that is on its way. */
const AFTERWARDS_MS = 100

const runToEnd = async (
  runtime: SimRuntime,
  journal: Journal,
  program: Effect.Effect<Left, unknown>
): Promise<Left | undefined> => {
  try {
    const exit = await runtime.runAsync(program, SIMULATED_MS_MAX)
    if (Exit.isSuccess(exit)) return exit.value
    journal.note({ _tag: "Violated", problem: `the simulation met a defect: ${String(exit.cause)}` })
  } catch (error) {
    if (!(error instanceof SimStuck)) throw error
    journal.note({ _tag: "Violated", problem: error.message })
  }
  return undefined
}

/** Every simulation has ended long before. */
const SIMULATED_MS_MAX = 60_000

const layerNetwork = ({ link, seed }: Plan, journal: Journal) =>
  SimNetwork.layer({
    seed,
    ips: EDGE_IPS,
    link,
    acceptMs: { min: 0, max: 2 },
    trace: (event) => journal.note({ _tag: "Network", event })
  })

const makeWorld = (
  plan: Plan,
  files: World["files"],
  journal: Journal,
  network: SimNetwork["Service"],
  records: Records
): World => {
  const places = new StatementPlaces()
  const world: World = {
    ...records,
    plan,
    files,
    journal,
    network,
    edgeHost: network.host,
    disk: new SimStore(plan.site.edge, (statement) => {
      const fault = plan.faults.disk.get(places.placeOf(statement) ?? "")
      journal.note({ _tag: "Disk", statement, fault })
      if (fault?._tag === "Slow") world.diskBusyUntil = journal.now() + fault.ms
      if (fault?._tag === "Unknown" && statement.step === "commit") {
        world.uncertain = true
        world.unknowns++
      }
      if (fault?._tag === "Crash" && world.life !== undefined) Deferred.doneUnsafe(world.life.lost, Effect.void)
      return fault
    }),
    life: undefined,
    clients: new Map(),
    webTroubles: new Map(),
    uncertain: false,
    unknowns: 0,
    diskBusyUntil: 0,
    checkedRevision: 0
  }
  return world
}

const play = Effect.fnUntraced(function* (world: World, replace: Replacement) {
  const { admin, clients, faults, site } = world.plan
  const all = { concurrency: "unbounded", discard: true } as const
  yield* Effect.forEach(site.backends, (plan) => runBackend(world, plan), all)
  yield* Effect.forEach(site.webBackends, (plan) => runWebBackend(world, plan), all)
  yield* runInner(world)
  yield* Effect.all(
    [
      runEdge(world, replace),
      Effect.forEach(clients, (plan) => runClient(world, plan), all),
      Effect.forEach(admin, (plan) => runOperator(world, plan), all),
      Effect.forEach(faults.timed, (fault) => runFault(world, fault), all)
    ],
    all
  )
})

/** The second proxy, on a machine of its own, for as long as the scope. */
const runInner = Effect.fnUntraced(function* ({ journal, network, plan }: World) {
  const host = network.makeHost({ ips: [INNER_IP] })
  const layer = SimProxy.layer({
    disk: new SimStore(plan.site.inner),
    settings: plan.settings,
    shutdownTimeoutMs: 0,
    onConnection: (entry) => journal.note({ _tag: "Concluded", proxy: "inner", entry })
  })
  const proxy = Context.get(yield* Effect.provideService(Layer.build(layer), Network, host), SimProxy)
  yield* Effect.addFinalizer(() => {
    proxy.terminate()
    return proxy.stopped
  })
})

/** Whenever everybody waits, the edge has no more sockets than its budget. */
const watchBudget = ({ edgeHost, journal, plan }: World): void => {
  if (edgeHost.openSockets <= plan.socketsMax) return
  const problem = `the edge has ${edgeHost.openSockets} sockets, with a budget of ${plan.socketsMax}`
  journal.note({ _tag: "Violated", problem })
}
