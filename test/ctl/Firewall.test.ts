import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { FirewallRule } from "../../src/snapshot/FirewallRule.ts"
import { startAdmin } from "../admin/StubAdmin.ts"
import { temporaryFolder } from "../e2e/harness/Folder.ts"
import { ctl } from "./Ctl.ts"

const RULES: ReadonlyArray<FirewallRule> = [
  { type: "ip", value: "192.0.2.1" },
  { type: "cidr", value: "2001:db8::/32" },
  { type: "country", value: "KP" }
]
const FILE = "ip 192.0.2.1\ncidr 2001:db8::/32\ncountry KP\n"

const withRules = startAdmin({
  getFirewallRules: () => Effect.succeed({ rules: RULES }),
  addFirewallRule: () => Effect.succeed({}),
  removeFirewallRule: () => Effect.succeed({}),
  applyFirewallRules: ({ add }) => Effect.succeed({ added: add.length - 1, removed: 0, unchanged: 1 })
})

describe("firewall", () => {
  it.live("lists, adds and removes rules", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRules
      const { stdout } = yield* ctl(socket, ["firewall", "list"])
      assert.strictEqual(stdout, "TYPE     VALUE\nip       192.0.2.1\ncidr     2001:db8::/32\ncountry  KP\n")
      const added = yield* ctl(socket, ["firewall", "add", "ip", "192.0.2.9"])
      assert.strictEqual(added.stdout, "added ip 192.0.2.9\n")
      const removed = yield* ctl(socket, ["firewall", "remove", "country", "KP"])
      assert.strictEqual(removed.stdout, "removed country KP\n")
      assert.deepStrictEqual(asked.slice(1), [
        { operation: "addFirewallRule", request: { rule: { type: "ip", value: "192.0.2.9" } } },
        { operation: "removeFirewallRule", request: { rule: { type: "country", value: "KP" } } }
      ])
    })
  )

  it.live("says by a header alone that there are no rules", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({ getFirewallRules: () => Effect.succeed({ rules: [] }) })
      assert.strictEqual((yield* ctl(socket, ["firewall", "list"])).stdout, "TYPE  VALUE\n")
      const { stdout } = yield* ctl(socket, ["firewall", "list", "--json"])
      assert.deepStrictEqual(JSON.parse(stdout), { rules: [] })
    })
  )
})

describe("firewall import", () => {
  it.live("adds what a file or stdin lists in one call", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRules
      const file = join(yield* temporaryFolder, "rules")
      writeFileSync(file, `# all of them\n${FILE}${FILE}`)
      const told = { stdout: "added: 2, unchanged: 1\n", stderr: "", failure: undefined }
      assert.deepStrictEqual(yield* ctl(socket, ["firewall", "import", file]), told)
      assert.deepStrictEqual(yield* ctl(socket, ["firewall", "import", "-"], { stdin: FILE }), told)
      const call = { operation: "applyFirewallRules", request: { add: RULES, remove: [] } }
      assert.deepStrictEqual(asked, [call, call])
    })
  )

  it.live("names every bad line, and then applies none", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRules
      const { failure } = yield* ctl(socket, ["firewall", "import", "-"], {
        stdin: `ip 1.2.3\n${FILE}cidr 1.2.3.4/8\n`
      })
      assert.strictEqual(
        failure,
        'stdin: 2 problems\n  line 1: "1.2.3" is no IP address\n  line 5: "1.2.3.4/8" has host bits set beyond /8'
      )
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("says in one line when the file is not there, or too much", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRules
      const folder = yield* temporaryFolder
      const missing = join(folder, "none")
      const { failure } = yield* ctl(socket, ["firewall", "import", missing])
      assert.strictEqual(failure, `${missing}: no such file; check the path`)
      const stdin = "#".repeat(16 * 1024 * 1024 + 1)
      const large = yield* ctl(socket, ["firewall", "import", "-"], { stdin })
      assert.strictEqual(large.failure, "stdin: has over 16777216 bytes")
      assert.deepStrictEqual(asked, [])
    })
  )
})

describe("firewall export", () => {
  it.live("writes for its owner alone what import reads back, and leaves nothing else", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRules
      const folder = yield* temporaryFolder
      const file = join(folder, "rules")
      const { stdout } = yield* ctl(socket, ["firewall", "export", file])
      assert.strictEqual(stdout, `${file}: 3 rules\n`)
      assert.strictEqual(readFileSync(file, "utf8"), FILE)
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      assert.deepStrictEqual(readdirSync(folder), ["rules"])
      yield* ctl(socket, ["firewall", "import", file])
      assert.deepStrictEqual(asked[1]?.request, { add: RULES, remove: [] })
      assert.strictEqual((yield* ctl(socket, ["firewall", "export", "-"])).stdout, FILE)
    })
  )

  it.live("takes the place of another file only when it is told to", () =>
    Effect.gen(function* () {
      const { socket } = yield* withRules
      const folder = yield* temporaryFolder
      const file = join(folder, "rules")
      writeFileSync(file, "mine")
      const refused = yield* ctl(socket, ["firewall", "export", file])
      assert.strictEqual(refused.failure, `${file}: exists already; give another path, or --overwrite`)
      assert.strictEqual(readFileSync(file, "utf8"), "mine")
      yield* ctl(socket, ["firewall", "export", file, "--overwrite"])
      assert.strictEqual(readFileSync(file, "utf8"), FILE)
      assert.deepStrictEqual(readdirSync(folder), ["rules"])
    })
  )

  it.live("says in one line when it cannot write", () =>
    Effect.gen(function* () {
      const { socket } = yield* withRules
      const file = join(yield* temporaryFolder, "none", "rules")
      const { failure } = yield* ctl(socket, ["firewall", "export", file])
      assert.strictEqual(failure, `${file}: no such folder; make it first`)
    })
  )
})
