import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdirSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { builtBinary } from "./Binary.ts"
import { temporaryFolder } from "./Folder.ts"

it.live("stops tests of a program that is missing or older than one of its sources", () =>
  Effect.gen(function* () {
    const root = yield* temporaryFolder
    const source = join(root, "src", "tls", "ClientHello.ts")
    const binary = join(root, "dist", "bin", "mc-proxy.js")
    const write = (file: string, modifiedAt: number) => {
      mkdirSync(join(file, ".."), { recursive: true })
      writeFileSync(file, "")
      utimesSync(file, modifiedAt, modifiedAt)
    }
    write(source, 2000)
    assert.throws(() => builtBinary(root), /mc-proxy\.js is missing; run npm run build$/)
    write(binary, 1000)
    assert.throws(() => builtBinary(root), /mc-proxy\.js is older than .*ClientHello\.ts; run npm run build$/)
    write(binary, 3000)
    assert.strictEqual(builtBinary(root), binary)
  })
)
