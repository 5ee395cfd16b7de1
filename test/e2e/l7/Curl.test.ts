import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import type { Scope } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { KINDS, type Kind } from "../../l7/backend/World.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { runProgram } from "../harness/Program.ts"
import { BEHAVIOURS } from "./Behaviours.ts"
import { NAMES, startSite, type Site } from "./Combined.ts"

// A client that nobody here wrote, in both its versions of HTTP, before each kind of backend.

const VERSIONS: Readonly<Record<string, string>> = { "1.1": "--http1.1", "2": "--http2" }

class Table extends Context.Service<Table, Site>()("mc-proxy/test/CurlTable") {
  static readonly layer = Layer.effect(
    Table,
    Effect.suspend(() =>
      startSite((request, response) => {
        request.on("error", () => {})
        response.on("error", () => {})
        BEHAVIOURS[request.url?.split("?")[0] ?? ""]?.(request, response)
      })
    )
  )
}

interface Got {
  /** Every header section of both, interim ones and trailers included, as curl writes them down. */
  readonly heads: string
  /** The same both times. */
  readonly body: Buffer
}

type Curl = (path: string, args?: ReadonlyArray<string>) => Effect.Effect<Got, never, Scope.Scope>

/** Has curl ask twice, which must succeed both times, and on one connection. */
const curlTo = (site: Site, kind: Kind, version: string): Curl =>
  Effect.fnUntraced(function* (path, args = []) {
    const folder = yield* temporaryFolder
    const heads = join(folder, "heads")
    const bodyOf = (transfer: string) => join(folder, `body-${transfer}`)
    // For an empty body curl may write none.
    for (const transfer of ["1", "2"]) writeFileSync(bodyOf(transfer), "")
    const authority = `${NAMES[kind.name]!}:${site.port}`
    const ran = yield* runProgram("curl", [
      ...["--silent", "--show-error", "--max-time", "15", VERSIONS[version]!],
      ...["--cacert", site.ca, "--resolve", `${authority}:127.0.0.1`],
      ...["--dump-header", heads, "--output", bodyOf("#1")],
      ...["--write-out", "HTTP/%{http_version}, new connections: %{num_connects}\n"],
      ...args,
      `https://${authority}${path}?[1-2]`
    ])
    const printed = [1, 0].map((count) => `HTTP/${version}, new connections: ${count}\n`).join("")
    assert.deepInclude(ran, { code: 0, stderr: "", stdout: printed })
    const [first, second] = [readFileSync(bodyOf("1")), readFileSync(bodyOf("2"))]
    // For HEAD curl writes the head there, whose date may have become another.
    if (!args.includes("--head"))
      assert.isTrue(first.equals(second), `${path}: ${first.length}, ${second.length} bytes`)
    return { heads: readFileSync(heads, "latin1"), body: second }
  })

/** The status of every section, in their order. */
const statusesOf = ({ heads }: Got): ReadonlyArray<number> =>
  Array.from(heads.matchAll(/^HTTP\/[\d.]+ (\d+)/gm), ([, status]) => Number(status))

layer(Table.layer, { excludeTestServices: true })("between curl and every backend", (it) => {
  const each = (name: string, check: (curl: Curl) => Effect.Effect<void, never, Scope.Scope>) =>
    it.effect(name, () =>
      Effect.gen(function* () {
        const site = yield* Table
        for (const version of Object.keys(VERSIONS)) {
          for (const kind of KINDS) {
            yield* Effect.catchDefect(Effect.scoped(check(curlTo(site, kind, version))), (defect) => {
              if (defect instanceof Error) defect.message = `HTTP/${version} to ${kind.name}: ${defect.message}`
              return Effect.die(defect)
            })
          }
        }
      })
    )

  each(
    "a file goes up and comes down again, with the trailers behind it",
    Effect.fnUntraced(function* (curl) {
      const file = join(yield* temporaryFolder, "upload")
      const bytes = Buffer.alloc(1_500_000, "0123456789")
      writeFileSync(file, bytes)
      for (const length of [[], ["--header", "transfer-encoding: chunked"]]) {
        const { body, heads } = yield* curl("/echo", ["--upload-file", file, "--header", "te: trailers", ...length])
        assert.isTrue(body.equals(bytes))
        assert.lengthOf(heads.match(/\r\nx-out: undefined\r\n/g) ?? [], 2)
      }
    })
  )

  each(
    "a body waits for the backend's 100, and the connection is kept behind it",
    Effect.fnUntraced(function* (curl) {
      const expecting = ["--header", "expect: 100-continue", "--expect100-timeout", "14"]
      const got = yield* curl("/count", ["--data", "body", ...expecting])
      assert.deepStrictEqual(statusesOf(got), [100, 200, 100, 200])
      assert.strictEqual(got.body.toString(), "4 4")
    })
  )

  each(
    "interim responses, and responses without a body, end where they should",
    Effect.fnUntraced(function* (curl) {
      const hints = yield* curl("/hints")
      assert.deepStrictEqual([statusesOf(hints), hints.body.toString()], [[103, 200, 103, 200], "done"])
      const head = yield* curl("/known", ["--head"])
      assert.deepStrictEqual(statusesOf(head), [200, 200])
      assert.lengthOf(head.heads.match(/\r\ncontent-length: 5\r\n/g) ?? [], 2)
      assert.deepStrictEqual(statusesOf(yield* curl("/204")), [204, 204])
      assert.deepStrictEqual(statusesOf(yield* curl("/304")), [304, 304])
      const unknown = yield* curl("/unknown")
      assert.deepStrictEqual([statusesOf(unknown), unknown.body.toString()], [[200, 200], "12345"])
    })
  )

  each(
    "large fields pass both ways",
    Effect.fnUntraced(function* (curl) {
      const got = yield* curl("/large", ["--header", `x-large: ${"z".repeat(10_000)}`])
      assert.deepStrictEqual(statusesOf(got), [200, 200])
      assert.lengthOf(got.heads.match(/\r\nx-large: y{30000}\r\n/g) ?? [], 2)
      assert.lengthOf(got.heads.match(/\r\nx-seen: 10000\r\n/g) ?? [], 2)
    })
  )
})
