import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { join, resolve } from "node:path"

const patches = readdirSync(import.meta.dirname).filter((file) => file.endsWith(".patch"))

// `npm run mutations` takes minutes, and is not run with every change.
for (const patch of patches) {
  it(`${patch} still applies`, () => {
    const { status, stderr } = spawnSync("git", ["apply", "--check", join(import.meta.dirname, patch)], {
      cwd: resolve(import.meta.dirname, "../.."),
      encoding: "utf8"
    })
    assert.strictEqual(status, 0, stderr)
  })
}
