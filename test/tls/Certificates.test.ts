import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, FileSystem, Layer } from "effect"
import { TestClock } from "effect/testing"
import { connect, createServer, type AddressInfo } from "node:net"
import * as tls from "node:tls"
import * as Log from "../../src/observe/Log.ts"
import { LogSink } from "../../src/observe/LogSink.ts"
import { Certificates, type CertificateSlot, type ReadPair } from "../../src/tls/Certificates.ts"
import type { KeyPair } from "../../src/tls/KeyPair.ts"
import { identityOf } from "../e2e/harness/Certificates.ts"

const DAY_MS = 24 * 3600 * 1000

/** Pairs by the path of their certificate; where there is none, it is refused. Which were read is told. */
const setUp = () => {
  const pairs = new Map<string, KeyPair>()
  const reads: Array<string> = []
  const lines: Array<string> = []
  const read: ReadPair = (certPath) =>
    Effect.suspend(() => {
      reads.push(certPath)
      const pair = pairs.get(certPath)
      return pair === undefined
        ? Effect.fail([{ file: "certificate", message: "is not there" } as const])
        : Effect.succeed(pair)
    })
  const layer = Certificates.layerFrom(read).pipe(
    Layer.provideMerge(Layer.provide(Log.layer({ level: "info", format: "text" }), LogSink.layerMemory(lines)))
  )
  return { pairs, reads, lines, layer }
}

const pair = (notAfter = 1000 * DAY_MS): KeyPair => ({ context: tls.createSecureContext(), notAfter })

describe("slots", () => {
  it.effect("are filled by load, one for all who name the same files", () => {
    const { layer, pairs, reads } = setUp()
    return Effect.gen(function* () {
      const certificates = yield* Certificates
      const a = pair(1)
      pairs.set("/a", a).set("/b", pair(2))
      const one = certificates.retain("/a", "/k")
      const other = certificates.retain("/a", "/k")
      const different = certificates.retain("/b", "/k")
      assert.isUndefined(one.context)
      yield* certificates.load
      assert.strictEqual(one, other)
      assert.strictEqual(one.context, a.context)
      assert.strictEqual(one.notAfter, 1)
      assert.notStrictEqual(different.context, one.context)
      assert.deepStrictEqual(reads, ["/a", "/b"])
      yield* certificates.load
      assert.lengthOf(reads, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("stay with the last route that has them, and are read again for each new one", () => {
    const { layer, pairs, reads } = setUp()
    return Effect.gen(function* () {
      const certificates = yield* Certificates
      pairs.set("/a", pair())
      const slot = certificates.retain("/a", "/k")
      yield* certificates.load
      const renewed = pair()
      pairs.set("/a", renewed)
      certificates.retain("/a", "/k")
      yield* certificates.load
      assert.strictEqual(slot.context, renewed.context)
      certificates.release(slot)
      yield* certificates.reload
      assert.lengthOf(reads, 3)
      certificates.release(slot)
      yield* certificates.reload
      assert.lengthOf(reads, 3)
      assert.strictEqual(slot.context, renewed.context)
      assert.notStrictEqual(certificates.retain("/a", "/k"), slot)
    }).pipe(Effect.provide(layer))
  })

  it.effect("are empty where nothing loads, which is logged and told until it does", () => {
    const { layer, lines, pairs } = setUp()
    return Effect.gen(function* () {
      const certificates = yield* Certificates
      const slot = certificates.retain("/a b", "/k")
      yield* certificates.load
      assert.isUndefined(slot.context)
      assert.strictEqual(slot.problem, '"/a b" is not there')
      assert.deepStrictEqual(certificates.failing(10), [slot])
      assert.match(lines.join(), /ERROR no certificate to serve path="\/a b" reason="is not there"/)
      pairs.set("/a b", pair())
      assert.deepStrictEqual(yield* certificates.reload, { reloaded: ["/a b", "/k"], failed: [] })
      assert.isDefined(slot.context)
      assert.isUndefined(slot.problem)
      assert.deepStrictEqual(certificates.failing(10), [])
    }).pipe(Effect.provide(layer))
  })
})

describe("reload", () => {
  it.effect("swaps what loads, keeps what does not, and answers both", () => {
    const { layer, lines, pairs } = setUp()
    return Effect.gen(function* () {
      const certificates = yield* Certificates
      const old = pair()
      pairs.set("/a", old).set("/b", pair())
      const a = certificates.retain("/a", "/ka")
      const b = certificates.retain("/b", "/kb")
      yield* certificates.load
      pairs.delete("/a")
      const renewed = pair()
      pairs.set("/b", renewed)
      assert.deepStrictEqual(yield* certificates.reload, {
        reloaded: ["/b", "/kb"],
        failed: [{ path: "/a", reason: "is not there" }]
      })
      assert.strictEqual(a.context, old.context)
      assert.deepStrictEqual(certificates.failing(10), [a])
      assert.match(lines.join(), /ERROR kept the old certificate path=\/a reason="is not there"/)
      assert.strictEqual(b.context, renewed.context)
    }).pipe(Effect.provide(layer))
  })

  it.effect("answers for a file that cannot be read in time, and goes on with the others", () => {
    const read: ReadPair = (certPath) => (certPath === "/hangs" ? Effect.never : Effect.succeed(pair()))
    return Effect.gen(function* () {
      const certificates = yield* Certificates
      const slots = ["/hangs", "/a"].map((path) => certificates.retain(path, "/k"))
      const loading = yield* Effect.forkChild(certificates.load)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(loading)
      assert.deepStrictEqual(
        slots.map(({ context }) => context !== undefined),
        [false, true]
      )
    }).pipe(Effect.provide(Certificates.layerFrom(read)))
  })

  it.effect("says of few what it does not say of all", () => {
    const { layer, lines } = setUp()
    return Effect.gen(function* () {
      const certificates = yield* Certificates
      for (let i = 0; i < 150; i++) certificates.retain(`/${i}`, "/k")
      yield* certificates.load
      assert.lengthOf(lines, 101)
      assert.include(lines.at(-1), "50 more certificates did not load")
      assert.lengthOf(certificates.failing(7), 7)
      assert.lengthOf((yield* certificates.reload).failed, 150)
    }).pipe(Effect.provide(layer))
  })
})

it.effect("warns of what ends within fourteen days at load, at reload and every day, and of nothing else", () => {
  const { layer, lines, pairs } = setUp()
  return Effect.gen(function* () {
    const certificates = yield* Certificates
    pairs.set("/soon", pair(14 * DAY_MS)).set("/later", pair(17 * DAY_MS))
    certificates.retain("/soon", "/k")
    certificates.retain("/later", "/k")
    yield* certificates.load
    const told = () => lines.splice(0).map((line) => line.replace(/^\S+ WARN +/, ""))
    const soon = "certificate expires soon path=/soon not_after=1970-01-15T00:00:00.000Z"
    assert.deepStrictEqual(told(), [soon])
    yield* certificates.reload
    assert.deepStrictEqual(told(), [soon])
    yield* TestClock.adjust("2 days")
    assert.deepStrictEqual(told(), [soon, soon])
    yield* TestClock.adjust("1 day")
    assert.deepStrictEqual(told(), [soon, "certificate expires soon path=/later not_after=1970-01-18T00:00:00.000Z"])
    yield* TestClock.adjust("11 days")
    told()
    yield* TestClock.adjust("1 day")
    assert.include(told()[0], "certificate has expired")
  }).pipe(Effect.provide(layer))
})

describe("from files", () => {
  const layer = Certificates.layer.pipe(
    Layer.provideMerge(NodeFileSystem.layer),
    Layer.provideMerge(Layer.provide(Log.layer({ level: "info", format: "text" }), LogSink.layerMemory([])))
  )

  /** A slot for the files of `name`, and how to write them. */
  const served = Effect.fnUntraced(function* (name: string) {
    const files = yield* FileSystem.FileSystem
    const folder = yield* files.makeTempDirectoryScoped()
    const [certPath, keyPath] = [`${folder}/c.pem`, `${folder}/c.key`]
    const write = Effect.fnUntraced(function* (of: string) {
      const { certificate, key } = yield* Effect.promise(() => identityOf(of))
      yield* files.writeFileString(certPath, certificate)
      yield* files.writeFileString(keyPath, key)
    })
    yield* write(name)
    const certificates = yield* Certificates
    const slot = certificates.retain(certPath, keyPath)
    yield* certificates.load
    return { certificates, slot, write, keyPath, files }
  })

  it.live(
    "serves the new certificate after a reload, resumes sessions from before it, and keeps what a bad key spoils",
    () =>
      Effect.gen(function* () {
        const { certificates, files, keyPath, slot, write } = yield* served("a.example.net")
        const visit = yield* serve(slot)
        const first = yield* visit()
        assert.deepStrictEqual([first.name, first.resumed], ["a.example.net", false])
        yield* write("b.example.net")
        assert.lengthOf((yield* certificates.reload).reloaded, 2)
        assert.isTrue((yield* visit(first.session)).resumed)
        assert.strictEqual((yield* visit()).name, "b.example.net")
        yield* files.writeFileString(keyPath, (yield* Effect.promise(() => identityOf("c.example.net"))).key)
        const { failed, reloaded } = yield* certificates.reload
        assert.deepStrictEqual(reloaded, [])
        assert.deepStrictEqual(
          failed.map(({ path }) => path),
          [keyPath]
        )
        assert.strictEqual((yield* visit()).name, "b.example.net")
      }).pipe(Effect.provide(layer))
  )
})

interface Visit {
  /** Of the certificate that was shown. */
  readonly name: string
  readonly resumed: boolean
  readonly session: Buffer
}

/** A TLS 1.2 server with what the slot holds at each handshake, and a client of it. */
const serve = Effect.fnUntraced(function* (slot: CertificateSlot) {
  const server = createServer((socket) => {
    new tls.TLSSocket(socket, { isServer: true, secureContext: slot.context! }).on("error", () => {}).resume()
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.sync(() => server.close())
  )
  const { port } = server.address() as AddressInfo
  return (session?: Buffer) =>
    Effect.callback<Visit, Error>((resume) => {
      const client = tls.connect({
        socket: connect(port, "127.0.0.1"),
        rejectUnauthorized: false,
        maxVersion: "TLSv1.2",
        ...(session === undefined ? {} : { session })
      })
      client.on("error", (error) => resume(Effect.fail(error)))
      client.on("secureConnect", () => {
        const { subject } = client.getPeerCertificate()
        const name = String(subject?.CN ?? "")
        const visit = { name, resumed: client.isSessionReused(), session: client.getSession()! }
        client.destroy()
        resume(Effect.succeed(visit))
      })
      return Effect.sync(() => client.destroy())
    }).pipe(Effect.timeout("5 seconds"))
})
