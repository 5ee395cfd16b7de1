// npm run sim -- --seeds N [--seed S]: plays N simulations from seed S on, on all cores, and says what they met.
// With --seed alone it plays that one and tells its story; --digest prints a line of each trace's digest instead.
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { Worker } from "node:worker_threads"
import { simulate } from "../src/testing/simulator/Simulate.ts"
import { storyOf } from "../src/testing/simulator/Story.ts"
import { coverageOf, summarize, type Summary } from "../src/testing/simulator/Summary.ts"

const SEEDS_DEFAULT = 100

const { values } = parseArgs({
  options: { seeds: { type: "string" }, seed: { type: "string" }, digest: { type: "boolean", default: false } }
})

const readCount = (name: string, text: string): number => {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  console.error(`--${name}: ${text} is no whole number`)
  process.exit(2)
}

const tell = async (seed: number): Promise<number> => {
  const simulation = await simulate(seed)
  for (const line of storyOf(simulation)) console.log(line)
  for (const violation of simulation.violations) console.log(`WRONG: ${violation}`)
  console.log(simulation.violations.length === 0 ? `seed ${seed}: all promises kept` : `seed ${seed} failed`)
  return simulation.violations.length === 0 ? 0 : 1
}

/** Calls `each` with every summary, in whatever order they come. */
const playAll = async (first: number, count: number, each: (summary: Summary) => void): Promise<void> => {
  let next = first
  const playSome = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL("simWorker.ts", import.meta.url))
      const giveNext = () => {
        if (next < first + count) worker.postMessage(next++)
        else void worker.terminate().then(() => resolve())
      }
      worker.on("error", reject)
      worker.on("message", (summary: Summary) => {
        each(summary)
        giveNext()
      })
      giveNext()
    })
  await Promise.all(Array.from({ length: Math.min(count, availableParallelism()) }, playSome))
}

const run = async (first: number, count: number): Promise<number> => {
  const startedAt = performance.now()
  const summaries: Array<Summary> = []
  await playAll(first, count, (summary) => {
    summaries.push(summary)
    for (const violation of summary.violations) console.log(`seed ${summary.seed}: ${violation}`)
    if (summary.violations.length > 0) console.log(`  npm run sim -- --seed ${summary.seed}`)
    if (summaries.length % 100 === 0) console.log(`${summaries.length} of ${count}`)
  })
  const { missing, table } = coverageOf(summaries)
  const failed = summaries.filter(({ violations }) => violations.length > 0).length
  console.log(table)
  for (const problem of missing) console.log(`not covered: ${problem}`)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${count} seeds in ${seconds} s, ${failed} failed`)
  return failed > 0 || missing.length > 0 ? 1 : 0
}

const first = readCount("seed", values.seed ?? "1")
const count = readCount("seeds", values.seeds ?? (values.seed === undefined ? String(SEEDS_DEFAULT) : "1"))
if (values.digest) {
  for (let seed = first; seed < first + count; seed++) console.log(`${seed} ${summarize(await simulate(seed)).digest}`)
} else {
  process.exitCode =
    values.seed !== undefined && values.seeds === undefined ? await tell(first) : await run(first, Math.max(1, count))
}
