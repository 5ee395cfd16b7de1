import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { openDescriptor } from "../../src/observe/DescriptorNode.ts"
import { LogDestinationBroken } from "../../src/observe/LogDestination.ts"
import { childLine } from "./StderrChild.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "mc-proxy-log-"))),
  (path) => Effect.sync(() => fs.rmSync(path, { recursive: true }))
)

const descriptor = (file: string, flags: number | string) =>
  Effect.acquireRelease(
    Effect.sync(() => fs.openSync(file, flags)),
    (fd) => Effect.sync(() => fs.closeSync(fd))
  )

const fifo = Effect.map(folder, (folder) => {
  const file = path.join(folder, "fifo")
  execFileSync("mkfifo", [file])
  return file
})

it.live("says that a pipe is full, though the descriptor it was given would block, and goes on when it is read", () =>
  Effect.gen(function* () {
    const file = yield* fifo
    const reader = yield* descriptor(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    const destination = yield* openDescriptor(yield* descriptor(file, "w"))
    const bytes = Buffer.alloc(1024 * 1024, "0123456789abcde\n")
    const first = yield* destination.write(bytes)
    assert.isAbove(first, 0)
    assert.isBelow(first, bytes.length)
    assert.strictEqual(yield* destination.write(bytes.subarray(first)), 0)

    const read = Buffer.alloc(bytes.length)
    assert.strictEqual(fs.readSync(reader, read), first)
    assert.isTrue(read.subarray(0, first).equals(bytes.subarray(0, first)))
    assert.isAbove(yield* destination.write(bytes.subarray(first)), 0)
  })
)

it.live("fails when the reader of a pipe is gone, before or after it was opened", () =>
  Effect.gen(function* () {
    const file = yield* fifo
    const reader = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    // Not closed here: a pipe that cannot be opened anew is lent to libuv, which closes it with the process.
    const fd = fs.openSync(file, "w")
    const before = yield* openDescriptor(fd)
    fs.closeSync(reader)
    const after = yield* openDescriptor(fd)
    for (const destination of [before, after]) {
      const error = yield* Effect.flip(destination.write(Buffer.from("line\n")))
      assert.instanceOf(error, LogDestinationBroken)
      assert.strictEqual((error.cause as NodeJS.ErrnoException).code, "EPIPE")
    }
  })
)

it.live("writes to a file where its descriptor stands, and leaves it open", () =>
  Effect.gen(function* () {
    const file = path.join(yield* folder, "log")
    const fd = yield* descriptor(file, "w")
    fs.writeSync(fd, "before\n")
    yield* Effect.scoped(Effect.flatMap(openDescriptor(fd), ({ write }) => write(Buffer.from("line\n"))))
    fs.writeSync(fd, "after\n")
    assert.strictEqual(fs.readFileSync(file, "utf8"), "before\nline\nafter\n")
  })
)

it.live("takes a full disk for one that may have room again", () =>
  Effect.gen(function* () {
    const destination = yield* openDescriptor(yield* descriptor("/dev/full", "w"))
    assert.strictEqual(yield* destination.write(Buffer.from("line\n")), 0)
  })
)

it.live("fails for a descriptor that is none", () =>
  Effect.gen(function* () {
    const destination = yield* openDescriptor(999_999)
    assert.instanceOf(yield* Effect.flip(destination.write(Buffer.from("line\n"))), LogDestinationBroken)
  })
)

/** A process that logs `lines` to a stderr that is a socket, which is read only when it has ended. */
const child = (lines: number) =>
  Effect.callback<{ readonly code: number | null; readonly text: string }>((resume) => {
    const script = fileURLToPath(new URL("./StderrChild.ts", import.meta.url))
    const process_ = spawn(process.execPath, [script, `${lines}`], { stdio: ["ignore", "ignore", "pipe"] })
    process_.on("exit", () => {
      let text = ""
      process_.stderr.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      process_.on("close", (code) => resume(Effect.succeed({ code, text })))
    })
    return Effect.sync(() => process_.kill("SIGKILL"))
  })

const childLines = (count: number) => Array.from({ length: count }, (_, i) => `${childLine(i)}\n`).join("")

it.live("writes everything to a socket before the process ends", () =>
  Effect.gen(function* () {
    const { code, text } = yield* child(100)
    assert.strictEqual(text, childLines(100))
    assert.strictEqual(code, 0)
  })
)

it.live("lets the process end though nobody reads its socket", () =>
  Effect.gen(function* () {
    const { code, text } = yield* child(20_000)
    assert.strictEqual(code, 0)
    assert.isAbove(text.length, 0)
    assert.isBelow(text.length, childLines(20_000).length)
    assert.isTrue(childLines(20_000).startsWith(text))
  })
)
