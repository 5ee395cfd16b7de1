import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Result, Scope } from "effect"
import { linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { connect, createServer, type Socket } from "node:net"
import { join } from "node:path"
import { CONNECTIONS_MAX, listen } from "../../src/admin/AdminSocket.ts"
import { temporaryFolder } from "../e2e/harness/Folder.ts"

const socketIn = Effect.map(temporaryFolder, (folder) => join(folder, "admin.sock"))

/** Greets with its name, so that a client can tell who answers. */
const greeter = (name: string) => (socket: Socket) => void socket.on("error", () => socket.destroy()).end(name)

/** With a scope of its own, to close. */
const start = Effect.fnUntraced(function* (path: string, onConnection: (socket: Socket) => void = greeter("one")) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  yield* Scope.provide(listen(path, onConnection), scope)
  return { close: Scope.close(scope, Exit.void) }
})

/** What a client is told; fails with the error's code. */
const greetingAt = (path: string) =>
  Effect.callback<string, string>((resume) => {
    let read = ""
    const socket = connect(path)
    socket.setEncoding("utf8")
    socket.on("data", (text: string) => (read += text))
    socket.on("end", () => resume(Exit.succeed(read)))
    socket.on("error", (error: NodeJS.ErrnoException) => resume(Exit.fail(error.code ?? "")))
    return Effect.sync(() => socket.destroy())
  })

const refusal = (path: string) => Effect.map(Effect.flip(start(path)), ({ message }) => message)

/** A socket whose process is gone. */
const leaveStale = (path: string) =>
  Effect.callback<void>((resume) => {
    const server = createServer()
    server.listen(`${path}.first`, () => {
      linkSync(`${path}.first`, path)
      server.close(() => resume(Effect.void))
    })
  })

const IN_USE = "a running mc-proxy answers on it; stop that one first, or set another grpc.addr"

describe("the admin socket", () => {
  it.live("is its owner's alone from the first moment, and nothing else is left in its folder", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "admin.sock")
      const seen = new Set<string>()
      let watching = true
      const look = () => {
        for (const name of readdirSync(folder)) {
          const stats = lstatSync(join(folder, name), { throwIfNoEntry: false })
          if (stats !== undefined)
            seen.add(`${stats.isSocket() ? "socket" : "folder"} ${(stats.mode & 0o777).toString(8)}`)
        }
        if (watching) setImmediate(look)
      }
      look()
      yield* start(path)
      watching = false
      look()
      assert.deepStrictEqual([...seen].sort(), ["folder 700", "socket 600"])
      assert.deepStrictEqual(readdirSync(folder), ["admin.sock"])
      assert.strictEqual(yield* greetingAt(path), "one")
    })
  )

  it.live("is refused while somebody answers on it, who goes on undisturbed", () =>
    Effect.gen(function* () {
      const path = yield* socketIn
      yield* start(path)
      const { ino } = lstatSync(path)
      assert.strictEqual(yield* refusal(path), `admin socket ${path}: ${IN_USE}`)
      assert.strictEqual(lstatSync(path).ino, ino)
      assert.strictEqual(yield* greetingAt(path), "one")
    })
  )

  it.live("takes the place of one that was left behind", () =>
    Effect.gen(function* () {
      const path = yield* socketIn
      yield* leaveStale(path)
      assert.strictEqual(yield* Effect.flip(greetingAt(path)), "ECONNREFUSED")
      yield* start(path)
      assert.strictEqual(yield* greetingAt(path), "one")
    })
  )

  it.live("has one winner when several start at once, on nothing and on one that was left behind", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 20; round++) {
        const path = yield* socketIn
        if (round % 2 === 1) yield* leaveStale(path)
        const names = ["a", "b", "c", "d"]
        const starts = yield* Effect.forEach(names, (name) => Effect.result(start(path, greeter(name))), {
          concurrency: "unbounded"
        })
        const winners = names.filter((_, i) => Result.isSuccess(starts[i]!))
        assert.deepStrictEqual([yield* greetingAt(path)], winners)
      }
    })
  )

  it.live("takes the place of nothing that is no socket", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "file"), "kept")
      mkdirSync(join(folder, "folder"))
      yield* start(join(folder, "socket"))
      symlinkSync(join(folder, "socket"), join(folder, "link"))
      for (const name of ["file", "folder", "link"]) {
        const problem = "there is a file that is no socket; remove it, or set another grpc.addr"
        assert.strictEqual(yield* refusal(join(folder, name)), `admin socket ${join(folder, name)}: ${problem}`)
      }
      assert.strictEqual(readFileSync(join(folder, "file"), "utf8"), "kept")
    })
  )

  it.live("is refused where there is no folder for it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "file"), "")
      assert.match(yield* refusal(join(folder, "missing", "s")), /: its folder does not exist; make it, or set another/)
      assert.match(yield* refusal(join(folder, "file", "s")), /: its folder is none; set another grpc.addr$/)
    })
  )

  it.live("has a path of at most 107 bytes, and room in its folder to be made", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const ofBytes = (bytes: number, name: string) => {
        const parent = join(folder, "d".repeat(bytes - `${folder}//${name}`.length))
        mkdirSync(parent, { recursive: true })
        return join(parent, name)
      }
      const longest = ofBytes(107, "n".repeat(20))
      yield* start(longest)
      assert.strictEqual(yield* greetingAt(longest), "one")
      assert.match(
        yield* refusal(ofBytes(108, "n".repeat(20))),
        /its path has 108 bytes, and a Unix socket's may have 107/
      )
      // Two bytes a character.
      assert.match(yield* refusal(join(folder, "é".repeat(50))), /its path has 1\d\d bytes/)
      const shortName = ofBytes(94 + "/s".length, "s")
      yield* start(shortName)
      assert.strictEqual(yield* greetingAt(shortName), "one")
      assert.match(yield* refusal(ofBytes(95 + "/s".length, "s")), /its folder's path has 95 bytes, and .* may have 94/)
    })
  )

  it.live("goes when its scope closes, unless it is another's by then", () =>
    Effect.gen(function* () {
      const path = yield* socketIn
      const first = yield* start(path)
      yield* first.close
      assert.strictEqual(lstatSync(path, { throwIfNoEntry: false }), undefined)

      const second = yield* start(path)
      rmSync(path)
      yield* start(path, greeter("other"))
      yield* second.close
      assert.strictEqual(yield* greetingAt(path), "other")
    })
  )

  it.live("lets in a bounded number at once, and the next when one has gone", () =>
    Effect.gen(function* () {
      const path = yield* socketIn
      const held: Array<Socket> = []
      yield* Effect.addFinalizer(() => Effect.sync(() => held.forEach((socket) => socket.destroy())))
      yield* start(path, (socket) => {
        held.push(socket.on("error", () => socket.destroy()))
        if (held.length > CONNECTIONS_MAX) socket.end("in")
      })
      for (let i = 0; i < CONNECTIONS_MAX; i++) yield* heldClient(path)
      assert.strictEqual(yield* greetingAt(path), "")
      assert.strictEqual(held.length, CONNECTIONS_MAX)
      yield* Effect.callback<void>((resume) => {
        held[0]?.once("close", () => resume(Effect.void))
        held[0]?.destroy()
      })
      assert.strictEqual(yield* greetingAt(path), "in")
    })
  )
})

const heldClient = (path: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connect(path, () => resume(Effect.succeed(socket)))
      socket.on("error", () => undefined)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
