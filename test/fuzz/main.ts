/**
 * `npm run fuzz`: the parsers of what strangers and operators send, each for some seconds.
 *
 * What fails is made as short as it can be and written to the corpus, which `npm test` replays: it fails there until it
 * is mended, and tells ever after that it is.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Data, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { inspect } from "node:util"
import { version } from "../../src/bin/Version.ts"
import { readCorpus, writeInput } from "./Corpus.ts"
import { fuzz, type FuzzOptions } from "./Fuzzer.ts"
import type { Target } from "./Target.ts"
import { TARGETS } from "./Targets.ts"

const flags = {
  target: Argument.Literals(
    "target",
    TARGETS.map(({ name }) => name)
  ).pipe(Argument.withDescription("Only this one"), Argument.optional),
  seconds: Flag.Int("seconds").pipe(
    Flag.withDescription("For each target (default: 10)"),
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400 }))),
    Flag.withDefault(10)
  ),
  seed: Flag.Int("seed").pipe(Flag.withDescription("Of the mutations (default: the time)"), Flag.optional),
  save: Flag.Boolean("save").pipe(
    Flag.withDescription("Add to the corpus what runs code that it does not run yet"),
    Flag.withDefault(false)
  )
}

class FuzzFailure extends Data.TaggedError("FuzzFailure")<{ readonly message: string }> {}

const run = (target: Target, options: FuzzOptions & { readonly save: boolean }) =>
  Effect.suspend(() => {
    const corpus = readCorpus(target)
    const { failure, found, reached, tried } = fuzz(target, [...corpus.values()], options)
    if (failure !== undefined) {
      const file = writeInput(target, failure.bytes)
      return new FuzzFailure({ message: `${target.name}: ${file}, after ${tried} inputs:\n${inspect(failure.error)}` })
    }
    if (reached === 0) return new FuzzFailure({ message: `${target.name}: the coverage of its source is not seen` })
    if (options.save) for (const bytes of found) writeInput(target, bytes)
    const news = `${found.length} with something new${options.save ? ", saved" : ""}`
    return Console.log(`${target.name}: ${tried} inputs, ${corpus.size} of them the corpus; ${news}`)
  })

Command.make("fuzz", flags, ({ save, seconds, seed, target }) => {
  const targets = TARGETS.filter(({ name }) => Option.getOrElse(target, () => name) === name)
  const options = { save, seconds, seed: Option.getOrElse(seed, () => Date.now() | 0) }
  return Effect.andThen(
    Console.log(`seed ${options.seed}`),
    Effect.forEach(targets, (target) => run(target, options), { discard: true })
  )
}).pipe(
  Command.withDescription("Feed the parsers mutated input, guided by the code that it runs"),
  Command.run({ version }),
  Effect.catchTag("FuzzFailure", ({ message }) =>
    Effect.andThen(
      Console.error(`fuzz: ${message}`),
      Effect.sync(() => {
        process.exitCode = 1
      })
    )
  ),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
