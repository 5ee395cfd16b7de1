/**
 * `npm run bench:requests -- [NODE_OPTION...]`: what a request on L7 costs, HTTP/2 over TLS in and in the clear out,
 * beside a bare proxy on Node's `http2`.
 *
 * nghttp2's `h2load` asks, over 8 connections with 32 streams each, for answers of 1 KiB, of both in turn.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Path, Result } from "effect"
import { spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { CertificateAuthority } from "../src/devserver/CertificateAuthority.ts"
import { parseHostname } from "../src/snapshot/Hostname.ts"
import { BenchError } from "./BenchError.ts"
import { forkFile, receive } from "./Child.ts"
import { cpuSecondsBetween, readCpu } from "./ProcessCpu.ts"
import { Listening } from "./Protocol.ts"
import { describeMachine, formatTable } from "./Report.ts"
import { median } from "./Statistics.ts"
import { startBinary, type Running } from "./Subject.ts"

/** The machine is in another mood every few seconds; the median of fewer rounds moves by a tenth. */
const ROUNDS = 24
const REQUESTS = 20_000
const RATIO_MAX = 1.4

const HOSTNAME = "bench.test"

/** Finished requests, or why not; everything that it prints otherwise. */
const ask = Effect.fnUntraced(function* (port: number) {
  const args = ["-n", String(REQUESTS), "-c", "8", "-m", "32", `--connect-to=127.0.0.1:${port}`]
  const output = yield* Effect.callback<string, BenchError>((resume) => {
    const child = spawn("h2load", [...args, `https://${HOSTNAME}/`], { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
    child.on("error", () => resume(new BenchError({ message: "h2load is not installed (Debian: nghttp2-client)" })))
    child.on("close", () => resume(Effect.succeed(text)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })
  if (!output.includes(`${REQUESTS} succeeded`))
    return yield* new BenchError({ message: `requests failed:\n${output}` })
  return Number(/([\d.]+) req\/s/.exec(output)?.[1])
})

/** Microseconds of the subject's CPU a request, and requests a second. */
const measure = Effect.fnUntraced(function* ({ port, process }: Running) {
  const before = yield* readCpu(process.pid)
  const perSecond = yield* Effect.raceFirst(ask(port), process.ended)
  const after = yield* readCpu(process.pid)
  return { cpuUs: (cpuSecondsBetween(before, after) * 1e6) / REQUESTS, perSecond }
})

const configOf = (backend: number, cert: string, key: string) => `
[database]
path = "mc-proxy.db"
[log]
access = false
[[listeners]]
addr = "127.0.0.1:0"
[[listeners.routes]]
hostname = "${HOSTNAME}"
backend = "127.0.0.1:${backend}"
mode = "l7"
tls_cert = ${JSON.stringify(cert)}
tls_key = ${JSON.stringify(key)}
`

const bench = Effect.gen(function* () {
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const path = yield* Path.Path
  const [cert, key] = [path.join(folder, "cert.pem"), path.join(folder, "key.pem")]
  const identity = yield* Effect.promise(issue)
  writeFileSync(cert, identity.certificate)
  writeFileSync(key, identity.key, { mode: 0o600 })

  const { port } = yield* receive(yield* forkFile("Http2Backend.ts"), Listening)
  const nodeOptions = process.argv.slice(2)
  const bare = yield* forkFile("BareHttp2.ts", [String(port), cert, key], nodeOptions)
  const subjects = {
    bare: { process: bare, port: (yield* receive(bare, Listening)).port },
    "mc-proxy": yield* startBinary(folder, configOf(port, cert, key), nodeOptions)
  }

  const samples = { bare: Array<Sample>(), "mc-proxy": Array<Sample>() }
  // In the first round code is compiled.
  for (let round = 0; round <= ROUNDS; round++) {
    const names = round % 2 === 0 ? (["bare", "mc-proxy"] as const) : (["mc-proxy", "bare"] as const)
    for (const name of names) {
      const sample = yield* measure(subjects[name])
      if (round > 0) samples[name].push(sample)
    }
  }
  const ratio = median(samples["mc-proxy"].map(({ cpuUs }, round) => cpuUs / samples.bare[round]!.cpuUs))
  const rows = Object.entries(samples).map(([name, all]) => [
    name,
    median(all.map(({ cpuUs }) => cpuUs)).toFixed(0),
    median(all.map(({ perSecond }) => perSecond)).toFixed(0)
  ])
  console.log(describeMachine())
  console.log(formatTable([["subject", "us CPU/request", "requests/s"], ...rows]))
  console.log(`  limit: at most ${RATIO_MAX} x bare, is ${ratio.toFixed(2)}: ${ratio <= RATIO_MAX ? "met" : "NOT MET"}`)
}).pipe(Effect.scoped)

interface Sample {
  readonly cpuUs: number
  readonly perSecond: number
}

const DAY_MS = 24 * 3600 * 1000

const issue = async () => {
  const validity = { from: new Date(Date.now() - DAY_MS), to: new Date(Date.now() + DAY_MS) }
  const authority = await CertificateAuthority.make("mc-proxy bench", validity)
  return authority.issue(Result.getOrThrow(parseHostname(HOSTNAME)))
}

NodeRuntime.runMain(Effect.provide(bench, NodeServices.layer))
