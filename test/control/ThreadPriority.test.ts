import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { spawnSync } from "node:child_process"
import { getPriority } from "node:os"
import { fileURLToPath } from "node:url"
import { NICENESS } from "../../src/control/ThreadPriority.ts"

const Told = Schema.fromJsonString(
  Schema.Struct({
    main: Schema.Int,
    told: Schema.Struct({ giving: Schema.Int, child: Schema.Int }),
    ofV8: Schema.NonEmptyArray(Schema.Int)
  })
)

it.runIf(process.platform === "linux")("a thread that gives way does so with its own and V8's, and no other", () => {
  const program = fileURLToPath(new URL("GivingWay.ts", import.meta.url))
  const { stderr, stdout } = spawnSync(process.execPath, [program], { encoding: "utf8", timeout: 20_000 })
  assert.strictEqual(stderr, "")
  const { main, ofV8, told } = Schema.decodeUnknownSync(Told)(stdout)
  const before = getPriority(0)
  const given = Math.min(before + NICENESS, 19)
  assert.deepStrictEqual({ main, ...told }, { main: before, giving: given, child: given })
  assert.deepStrictEqual([...new Set(ofV8)], [given])
})
