import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8")

it("shows in its documentation what is run as a test", () => {
  const shown = /```ts\n([^]*?)```/.exec(read("docs/testing.md"))![1]!
  const run = read("test/testing/Example.test.ts")
    .replace(/^\/\/.*\n/, "")
    .replace("../../src/index.ts", "mc-proxy")
    .replace("../../src/testing.ts", "mc-proxy/testing")
  // Lines break elsewhere where the names of modules are longer.
  const joined = (code: string) => code.replaceAll(/\s+/g, "")
  assert.strictEqual(joined(shown), joined(run))
})
