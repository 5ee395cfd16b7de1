/**
 * `npm run bench`: the proxy beside a bare Node relay, with the same client and the same backend, in interleaved rounds.
 *
 * It starts each subject once, in a process of its own as the client and the backend are, and reads from the operating
 * system how much CPU the subject takes. Everything is on 127.0.0.1, and ends with the bench.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Option, Path, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { version } from "../src/bin/Version.ts"
import { BenchError } from "./BenchError.ts"
import { forkFile, receive } from "./Child.ts"
import { Routes } from "./Protocol.ts"
import { describeMachine, formatSamples, judge } from "./Report.ts"
import { runRounds } from "./Rounds.ts"
import { bare, subjects, type Running, type Subject } from "./Subject.ts"
import { workloads, type Workload } from "./Workload.ts"

/** About two minutes with the workloads as they are. */
const ROUNDS = 20

const flags = {
  rounds: Flag.Int("rounds").pipe(
    Flag.withDescription(`Rounds that count; one more comes first and is thrown away (default: ${ROUNDS})`),
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))),
    Flag.withDefault(ROUNDS)
  ),
  connections: Flag.Int("connections").pipe(
    Flag.withDescription("Connections in a round of the connection workload"),
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20_000 }))),
    Flag.optional
  ),
  only: Flag.Literals(
    "only",
    [...subjects, ...workloads].map(({ name }) => name)
  ).pipe(
    Flag.withDescription("Only this workload, or only this subject beside the bare relay; may be repeated"),
    Flag.atLeast(0)
  ),
  profile: Flag.Directory("profile").pipe(
    Flag.withDescription("Write a CPU profile of each subject into this folder; taking it costs them CPU"),
    Flag.optional
  ),
  check: Flag.Boolean("check").pipe(
    Flag.withDescription("Exit with 1 when a limit is not met"),
    Flag.withDefault(false)
  )
}

const bench = Effect.fnUntraced(function* (options: Command.Command.Config.Infer<typeof flags>) {
  const chosen = chooseFrom(options.only)
  yield* Console.log(describeMachine())
  const running = yield* startSubjects(chosen.subjects, options.profile)
  // Started last, and so the first to go: it fails loudly when a subject vanishes.
  const client = yield* forkFile("Client.ts")
  let met = true
  for (const workload of withConnections(chosen.workloads, options.connections)) {
    const samples = yield* runRounds(workload, running, client, options.rounds)
    yield* Console.log(`\n${formatSamples(workload, samples)}`)
    const verdict = judge(workload, samples)
    if (verdict === undefined) continue
    met &&= verdict.met
    yield* Console.log(verdict.text)
  }
  if (options.check && !met) return yield* new BenchError({ message: "a limit is not met" })
}, Effect.scoped)

const withConnections = (chosen: ReadonlyArray<Workload>, connections: Option.Option<number>) =>
  chosen.map((workload) =>
    workload.name === "connection" && Option.isSome(connections)
      ? { ...workload, operations: connections.value }
      : workload
  )

/** The names may be of workloads and of subjects; of which there is none, all are meant. */
const chooseFrom = (names: ReadonlyArray<string>) => {
  const pick = <A extends { readonly name: string }>(all: ReadonlyArray<A>, always?: A): ReadonlyArray<A> => {
    const picked = all.filter(({ name }) => names.includes(name))
    return picked.length === 0 ? all : all.filter((one) => one === always || picked.includes(one))
  }
  return { subjects: pick(subjects, bare), workloads: pick(workloads) }
}

/** Each subject, and the backend that all of them share. */
const startSubjects = Effect.fnUntraced(function* (chosen: ReadonlyArray<Subject>, profile: Option.Option<string>) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const temporary = yield* files.makeTempDirectoryScoped({ prefix: "mc-proxy-bench-" })
  const { routes } = yield* receive(yield* forkFile("Backend.ts"), Routes)
  const running = new Map<string, Running>()
  for (const { name, start } of chosen) {
    const folder = path.join(temporary, name)
    yield* files.makeDirectory(folder)
    const nodeOptions = Option.match(profile, {
      onNone: () => [],
      onSome: (to) => ["--cpu-prof", `--cpu-prof-dir=${path.resolve(to)}`, `--cpu-prof-name=${name}.cpuprofile`]
    })
    running.set(name, yield* start({ routes, folder, nodeOptions }))
  }
  return running
})

Command.make("bench", flags, bench).pipe(
  Command.withDescription("The CPU that the proxy takes, beside a bare Node relay"),
  Command.run({ version }),
  Effect.catchTag("BenchError", ({ message }) =>
    Effect.andThen(
      Console.error(`bench: ${message}`),
      Effect.sync(() => {
        process.exitCode = 1
      })
    )
  ),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
