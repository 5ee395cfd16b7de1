import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { startBackend } from "./harness/Backend.ts"
import { builtBinary, ROOT } from "./harness/Binary.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { hello } from "./harness/Hello.ts"
import { runProgram } from "./harness/Program.ts"
import { ADMIN, startProxy } from "./harness/Proxy.ts"
import { connect } from "./harness/Wire.ts"

const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { readonly version: string }
const ENTRY = join(ROOT, "bin", "mc-proxy.js")

/** The user's own PATH: without what `npm run` adds to it. */
const PATH = (process.env["PATH"] ?? "")
  .split(delimiter)
  .filter((folder) => !folder.includes("node_modules"))
  .join(delimiter)

it.live("runs in the checkout by npx, whatever Node the system has", () =>
  Effect.gen(function* () {
    // npx may run the file itself.
    assert.strictEqual(statSync(ENTRY).mode & 0o111, 0o111)
    const env = { PATH, npm_config_cache: yield* temporaryFolder, npm_config_offline: "true" }
    const told = yield* runProgram("npx", ["--no-install", "mc-proxy", "--version"], { cwd: ROOT, env })
    assert.deepStrictEqual({ code: told.code, stdout: told.stdout }, { code: 0, stdout: `mc-proxy ${version}\n` })
  })
)

const NEEDED = (found: string) =>
  new RegExp(
    `^mc-proxy needs Node 22\\.19 or newer, and this is ${found.replaceAll(".", "\\.")};[^\\n]*npx mc-proxy[^\\n]*\\n$`
  )

it.live.each(["18.20.0", "20.20.2", "22.18.9"])("says in one line what it needs when Node is %s", (old) =>
  Effect.gen(function* () {
    const preload = join(yield* temporaryFolder, "old-node.cjs")
    const versions = `{ ...process.versions, node: "${old}" }`
    writeFileSync(preload, `Object.defineProperty(process, "versions", { value: ${versions} })`)
    const { code, stderr, stdout } = yield* runProgram(process.execPath, ["--require", preload, ENTRY, "--version"])
    assert.deepStrictEqual({ code, stdout }, { code: 1, stdout: "" })
    assert.match(stderr, NEEDED(old))
  })
)

/** The version of the system's Node, if there is one. */
const systemNode = ((): string => {
  try {
    return execFileSync("node", ["-p", "process.versions.node"], { encoding: "utf8", env: { PATH } }).trim()
  } catch {
    return ""
  }
})()

// The one above runs everywhere; here the old Node's own parser reads the file.
describe.skipIf(!(Number.parseInt(systemNode) < 22))("with the system's Node, which is too old", () => {
  it.live("says in one line what it needs", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* runProgram("node", [ENTRY, "--version"], { env: { PATH } })
      assert.deepStrictEqual({ code, stdout }, { code: 1, stdout: "" })
      assert.match(stderr, NEEDED(systemNode))
    })
  )
})

/** The package as it is published, unpacked beside the dependencies, and the files in it. */
const unpacked = Effect.gen(function* () {
  builtBinary()
  const folder = yield* temporaryFolder
  const packed = yield* runProgram("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], {
    cwd: ROOT
  })
  assert.strictEqual(packed.code, 0, packed.stderr)
  const [{ filename, files }] = JSON.parse(packed.stdout) as [Packed]
  assert.strictEqual((yield* runProgram("tar", ["-xzf", join(folder, filename), "-C", folder])).code, 0)
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"))
  return { folder: join(folder, "package"), files }
})

it.live("type-checks and runs, from its package, the test that its documentation shows", () =>
  Effect.gen(function* () {
    const { folder } = yield* unpacked
    const [, example = ""] = /```ts\n([^]*?)```/.exec(readFileSync(join(folder, "docs", "testing.md"), "utf8")) ?? []
    writeFileSync(join(folder, "example.test.ts"), example)
    const run = (...args: ReadonlyArray<string>) => runProgram(process.execPath, args, { cwd: folder })
    const compiler = "../node_modules/typescript/bin/tsc"
    const options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "esnext", "--skipLibCheck"]
    const checked = yield* run(compiler, ...options, "--types", "node", "example.test.ts")
    assert.deepStrictEqual({ code: checked.code, stdout: checked.stdout }, { code: 0, stdout: "" })
    const tested = yield* run("../node_modules/vitest/vitest.mjs", "run", "example.test.ts")
    assert.strictEqual(tested.code, 0, tested.stdout)
    assert.match(tested.stdout, /2 passed/)
  })
)

it.live("works from the files of its package alone", () =>
  Effect.gen(function* () {
    const { files, folder } = yield* unpacked
    const paths = files.map(({ path }) => path)
    // Bundled, because only the patched one works.
    assert.include(paths, `${BUNDLED}dist/SqliteClient.js`)
    assert.include(paths, "proto/mc_proxy/v1/admin.proto")
    assert.include(paths, "dist/metrics/live/page.html")
    assert.include(paths, "deploy/prometheus/alerts.yml")
    const kept = paths.filter((path) => !/^(?:bin|deploy|dist|docs|proto)\//.test(path) && !path.startsWith(BUNDLED))
    assert.sameMembers(kept, ["CHANGELOG.md", "LICENSE", "README.md", "package.json"])
    const binary = join(folder, "bin", "mc-proxy.js")

    const told = yield* runProgram(process.execPath, [binary, "--version"])
    assert.deepStrictEqual(told, { code: 0, signal: null, stdout: `mc-proxy ${version}\n`, stderr: "" })

    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address }]
    const proxy = yield* startProxy({ listeners: [{ routes }], grpc: ADMIN }, { binary })
    const ctl = join(folder, "bin", "mcproxyctl.js")
    const rule = ["firewall", "add", "ip", "192.0.2.1", "--socket", proxy.adminSocket]
    assert.strictEqual((yield* runProgram(process.execPath, [ctl, ...rule])).code, 0)
    const imports = yield* runProgram(process.execPath, ["--input-type=module", "--eval", IMPORTS], {
      cwd: folder,
      env: { SOCKET: proxy.adminSocket }
    })
    assert.deepStrictEqual(imports, { code: 0, signal: null, stdout: "192.0.2.1\n", stderr: "" })
    const client = yield* connect(proxy.address)
    yield* client.send(hello("a.test"))
    const inner = yield* backend.next
    client.finish()
    inner.finish()
    assert.strictEqual(yield* inner.ended, "fin")
    assert.isTrue(inner.bytes.equals(hello("a.test")))
    assert.strictEqual((yield* proxy.accessOf(client)).outcome, "done")
  })
)

/** A program that uses what the package exports. */
const IMPORTS = `
import { Effect } from "effect"
import { DataPlane } from "mc-proxy"
import { AdminClient } from "mc-proxy/client"
if (DataPlane.layer === undefined) throw new Error("mc-proxy exports no layer")
const rules = Effect.flatMap(AdminClient, (admin) => admin.getFirewallRules({}))
const asked = Effect.provide(rules, AdminClient.layer({ socket: process.env.SOCKET }))
const answer = await Effect.runPromise(asked)
console.log(answer.rules[0].value)
`

const BUNDLED = "node_modules/@effect/sql-sqlite-node/"

interface Packed {
  readonly filename: string
  readonly files: ReadonlyArray<{ readonly path: string }>
}
