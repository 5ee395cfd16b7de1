/**
 * `npm run mutations [-- NAME...]`: puts known defects in, one after the other, and tells whether they are found.
 *
 * Each patch beside this file is one defect, and names the property that has to fail with it within 500 runs. It is
 * applied to a copy of the working tree; nothing outside of that is touched. The simulator is asked as well, and sees
 * what shows from outside a proxy on simulated sockets; a defect without a property has to be found by it. Fails when a
 * patch no longer applies, when a defect survives, and when a property or the simulator fails without a defect.
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"

interface Mutation {
  readonly name: string
  readonly patch: string
  readonly defect: string
  /** `undefined`: the simulator has to find it. */
  readonly property: Property | undefined
}

interface Property {
  readonly file: string
  readonly name: string
}

const FOLDER = import.meta.dirname
const ROOT = resolve(FOLDER, "../..")
/** What the tests need of it. */
const COPIED = ["src", "test", "proto", "package.json", "tsconfig.json", "vitest.config.ts"]
const RUNS_MAX = 500
/** What the simulator finds it finds within some thirty or not within hundreds; these take some seconds. */
const SEEDS_MAX = 60
/** For one property. With some defects it waits in vain, and that is how it fails. */
const TEST_TIMEOUT_MS = 20_000
const PROCESS_TIMEOUT_MS = 90_000

const readMutation = (file: string): Mutation => {
  const patch = join(FOLDER, file)
  const header = readFileSync(patch, "utf8")
  const field = (name: string): string | undefined => new RegExp(`^${name}: (.+)$`, "m").exec(header)?.[1]
  const defect = field("Defect")
  if (defect === undefined) throw new Error(`${file} says no defect`)
  const [tests, property] = [field("File"), field("Property")]
  if ((tests === undefined) !== (property === undefined)) throw new Error(`${file} says half of a property`)
  return {
    name: file.replace(".patch", ""),
    patch,
    defect,
    property: tests === undefined || property === undefined ? undefined : { file: tests, name: property }
  }
}

const run = (copy: string, command: string, args: ReadonlyArray<string>) =>
  spawnSync(command, args, { cwd: copy, encoding: "utf8", timeout: PROCESS_TIMEOUT_MS })

/** `undefined`: it passes. Otherwise how it fails. */
const failureOf = (copy: string, { file, name: property }: Property): string | undefined => {
  const report = join(copy, "report.json")
  rmSync(report, { force: true })
  const only = property.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs")
  const reporting = ["--reporter=json", `--outputFile=${report}`, `--testTimeout=${TEST_TIMEOUT_MS}`]
  const { stderr } = run(copy, process.execPath, [vitest, "run", file, "-t", only, ...reporting])
  const told = JSON.parse(readFileSync(report, "utf8")) as Report
  const ran = told.testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status !== "skipped")
  if (ran.length === 0) throw new Error(`${file} has no test "${property}"\n${stderr}`)
  const messages = ran.flatMap(({ failureMessages }) => failureMessages).join("\n")
  if (ran.every(({ status }) => status === "passed")) return undefined
  const runs = /Property failed after (\d+) tests/.exec(messages)?.[1]
  if (runs === undefined) return messages.includes("timed out") ? "waits in vain" : messages
  return Number(runs) <= RUNS_MAX ? runs : undefined
}

/** As Vitest's JSON reporter writes it. */
interface Report {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<{
      readonly status: string
      readonly failureMessages: ReadonlyArray<string>
    }>
  }>
}

/** The first seed whose simulation breaks a promise. */
const brokenSeed = (copy: string): string => {
  const { status, stderr, stdout } = run(copy, process.execPath, [
    "test/mutations/FirstViolation.ts",
    String(SEEDS_MAX)
  ])
  return status === 0 ? stdout.trim() : `it breaks: ${stderr.trim().split("\n").at(-1) ?? ""}`
}

interface Checked {
  readonly found: boolean
  readonly how: string
  readonly seed: string
}

const check = (copy: string, { patch, property }: Mutation): Checked => {
  const without = property === undefined ? undefined : failureOf(copy, property)
  if (without !== undefined) return { found: false, how: `the property fails without it: ${without}`, seed: "" }
  const applied = run(copy, "git", ["apply", patch])
  if (applied.status !== 0) return { found: false, how: `the patch no longer applies: ${applied.stderr}`, seed: "" }
  const failure = property === undefined ? "-" : failureOf(copy, property)
  const seed = brokenSeed(copy)
  run(copy, "git", ["apply", "--reverse", patch])
  const found = failure !== undefined && (property !== undefined || seed !== "")
  return { found, how: found ? failure : "SURVIVED", seed: seed === "" ? "-" : seed }
}

const showProperty = ({ property }: Mutation): string =>
  property === undefined ? "-" : `\`${property.file.replace("test/", "")}\`: ${property.name}`

const chosen = process.argv.slice(2)
const mutations = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".patch"))
  .map(readMutation)
  .filter(({ name }) => chosen.length === 0 || chosen.includes(name))
const copy = mkdtempSync(join(tmpdir(), "mc-proxy-mutations-"))
try {
  for (const part of COPIED) cpSync(join(ROOT, part), join(copy, part), { recursive: true })
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"))
  const broken = brokenSeed(copy)
  if (broken !== "") throw new Error(`the simulator finds something without a defect, at seed ${broken}`)
  console.log("| defect | property that fails | at run | simulation, seed |\n| --- | --- | --- | --- |")
  for (const mutation of mutations) {
    const { found, how, seed } = check(copy, mutation)
    console.log(`| ${mutation.defect} | ${showProperty(mutation)} | ${how} | ${seed} |`)
    if (!found) process.exitCode = 1
  }
} finally {
  rmSync(copy, { recursive: true })
}
