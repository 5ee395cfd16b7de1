import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FileSystem, Path, PlatformError, Result, Scope } from "effect"
import { parseConfig } from "../../src/config/Config.ts"
import { CONFIG_FILE, firstConfig } from "../../src/devserver/ConfigFile.ts"
import { ECHO, HELLO } from "../../src/devserver/Demo.ts"
import { demoPlaceOf, prepare, startBackends, type Prepared } from "../../src/devserver/Devserver.ts"
import { startDemoBackend } from "../../src/devserver/DemoBackend.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { formatSocketAddress } from "../../src/net/SocketAddress.ts"
import type { Listener, Route } from "../../src/snapshot/Snapshot.ts"
import { ask } from "./DemoClient.ts"

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, FileSystem.FileSystem | Path.Path | Scope.Scope>
): void => it.effect(name, () => Effect.provide(body(), NodeServices.layer))

const temporaryFolder = Effect.gen(function* () {
  return yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
})

/** Everything below a folder: each file's bytes, time and inode. */
const stateOf = Effect.fnUntraced(function* (folder: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const state: Array<unknown> = []
  for (const file of (yield* fileSystem.readDirectory(folder, { recursive: true })).sort()) {
    const { ino, mtime, type } = yield* fileSystem.stat(`${folder}/${file}`)
    const text = type === "File" ? yield* fileSystem.readFileString(`${folder}/${file}`) : ""
    state.push({ file, text, ino, mtime })
  }
  return state
})

/** The file system, until its `count`-th change from now, which fails as all after it do: a disk that is full. */
const fullAfter = (fileSystem: FileSystem.FileSystem, count: number): FileSystem.FileSystem => {
  let left = count
  const full = PlatformError.systemError({ _tag: "WriteZero", module: "FileSystem", method: "any" })
  const change =
    <A extends ReadonlyArray<unknown>, B>(operation: (...args: A) => Effect.Effect<B, PlatformError.PlatformError>) =>
    (...args: A) =>
      Effect.suspend(() => (left-- > 0 ? operation(...args) : Effect.fail(full)))
  return {
    ...fileSystem,
    makeDirectory: change(fileSystem.makeDirectory),
    rename: change(fileSystem.rename),
    writeFileString: change(fileSystem.writeFileString)
  }
}

const l4 = (hostname: Route["hostname"], backend: string): Route => ({
  hostname,
  backend,
  mode: "l4",
  sendProxyProtocol: false
})

const listenerOf = (...routes: ReadonlyArray<Route>): Listener => ({
  addr: ":8443",
  proxyProtocol: false,
  trustedProxies: [],
  maxConnections: 0,
  routes
})

/** An address that was free a moment ago. */
const freePort = Effect.fnUntraced(function* ({ certificates }: Prepared) {
  const address = { ip: parseIpAddress("127.0.0.1")!, port: 0 }
  return yield* Effect.scoped(startDemoBackend(HELLO, certificates.identities.hello, address))
})

describe("prepare", () => {
  test("makes a folder with a config that loads and certificates", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = `${yield* temporaryFolder}/srv/mc-proxy`
      const prepared = yield* prepare(folder)
      assert.isTrue(prepared.created)
      assert.strictEqual(prepared.folder, folder)
      assert.strictEqual(prepared.configFile, `${folder}/${CONFIG_FILE}`)
      assert.strictEqual(prepared.certificates.authorityFile, `${folder}/certs/ca.pem`)
      assert.strictEqual(yield* fileSystem.readFileString(prepared.configFile), firstConfig())
      assert.sameMembers(yield* fileSystem.readDirectory(folder), ["certs", CONFIG_FILE])
    }))

  test("changes nothing on a second run", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const first = yield* prepare(folder)
      const before = yield* stateOf(folder)
      assert.deepStrictEqual(yield* prepare(folder), { ...first, created: false })
      assert.deepStrictEqual(yield* stateOf(folder), before)
    }))

  test("keeps what the user made of the config", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const { configFile, folder } = yield* prepare(yield* temporaryFolder)
      for (const edited of [`${firstConfig()}# mine\n`, "not even TOML", ""]) {
        yield* fileSystem.writeFileString(configFile, edited)
        assert.isFalse((yield* prepare(folder)).created)
        assert.strictEqual(yield* fileSystem.readFileString(configFile), edited)
      }
    }))

  test("names the folder by its whole path, wherever it is run", () =>
    Effect.gen(function* () {
      const path = yield* Path.Path
      const folder = yield* temporaryFolder
      const prepared = yield* prepare(path.relative(process.cwd(), folder))
      assert.strictEqual(prepared.folder, folder)
      assert.strictEqual(prepared.certificates.authorityFile, `${folder}/certs/ca.pem`)
    }))

  test("completes what a run that stopped anywhere left undone", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      let stops = 0
      while (true) {
        const folder = `${yield* temporaryFolder}/dev`
        const stopped = yield* prepare(folder).pipe(
          Effect.provideService(FileSystem.FileSystem, fullAfter(fileSystem, stops)),
          Effect.result
        )
        if (Result.isSuccess(stopped)) break
        stops++
        const { certificates, configFile } = yield* prepare(folder)
        assert.strictEqual(yield* fileSystem.readFileString(configFile), firstConfig())
        const files = yield* fileSystem.readDirectory(folder, { recursive: true })
        assert.deepStrictEqual(
          files.filter((file) => file.includes(".new-")),
          []
        )
        const again = yield* prepare(folder)
        assert.deepStrictEqual(again.certificates, { ...certificates, replacedFor: [] })
      }
      // Two folders, and for each of eight files a name aside, the writing and the renaming.
      assert.strictEqual(stops, 2 + 8 * 3)
    }))

  test("says where and why it cannot, and what to do", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const file = `${yield* temporaryFolder}/file`
      yield* fileSystem.writeFileString(file, "")
      for (const folder of [file, `${file}/below`]) {
        const error = yield* Effect.flip(prepare(folder))
        assert.match(error.message, /^cannot prepare .*: E[A-Z]+: .*; mend that, or give another folder with --dir$/)
        assert.include(error.message, folder)
      }
    }))
})

describe("demoPlaceOf", () => {
  it("is where a route for a demo's name points, if that is on this machine", () => {
    const placeOf = (backend: string) => {
      const place = demoPlaceOf(l4(HELLO.hostname, backend))
      return place && `${place.demo.name} ${formatSocketAddress(place.address)}`
    }
    assert.strictEqual(placeOf("127.0.0.1:18443"), "hello 127.0.0.1:18443")
    assert.strictEqual(placeOf("127.255.0.9:1"), "hello 127.255.0.9:1")
    assert.strictEqual(placeOf("[::1]:65535"), "hello [::1]:65535")
    assert.strictEqual(placeOf("localhost:18443"), "hello 127.0.0.1:18443")
    for (const elsewhere of ["128.0.0.1:1", "126.255.255.255:1", "0.0.0.0:1", "[::2]:1", "[::]:1", "a.test:1"]) {
      assert.isUndefined(placeOf(elsewhere), elsewhere)
    }
  })

  it("is nowhere for a name that is no demo's, and for a route that terminates TLS", () => {
    const [other] = Result.getOrThrow(
      parseConfig(
        `[database]\npath = "x"\n[[listeners]]\naddr = ":1"\n[[listeners.routes]]\n` +
          `hostname = "${HELLO.hostname}"\nbackend = "127.0.0.1:1"\nmode = "l7"\ntls_cert = "c"\ntls_key = "k"\n` +
          `[[listeners.routes]]\nhostname = "other.test"\nbackend = "127.0.0.1:1"\n`,
        { file: "", environment: {}, resolvePath: (path) => path }
      )
    ).listeners
    assert.deepStrictEqual(other!.routes.map(demoPlaceOf), [undefined, undefined])
  })
})

describe("startBackends", () => {
  it.live("runs each demo once where the config's routes point, and no longer than its scope", () =>
    Effect.gen(function* () {
      const prepared = yield* prepare(yield* temporaryFolder)
      const [hello, echo] = [yield* freePort(prepared), yield* freePort(prepared)]
      const routes = [l4(HELLO.hostname, formatSocketAddress(hello)), l4(ECHO.hostname, formatSocketAddress(echo))]
      const scope = yield* Scope.make()
      yield* startBackends({ listeners: [listenerOf(...routes), listenerOf(...routes)] }, prepared).pipe(
        Scope.provide(scope)
      )
      const authority = yield* (yield* FileSystem.FileSystem).readFileString(prepared.certificates.authorityFile)
      for (const [address, { hostname }] of [
        [hello, HELLO],
        [echo, ECHO]
      ] as const) {
        assert.match((yield* ask(address, { authority, hostname })).text, new RegExp(`^Hello from ${hostname}`))
      }
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Effect.flip(ask(hello, { authority, hostname: HELLO.hostname })), "ECONNREFUSED")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("says which port is in use and which file to edit", () =>
    Effect.gen(function* () {
      const prepared = yield* prepare(yield* temporaryFolder)
      const address = { ip: parseIpAddress("127.0.0.1")!, port: 0 }
      const taken = formatSocketAddress(yield* startDemoBackend(HELLO, prepared.certificates.identities.hello, address))
      const config = { listeners: [listenerOf(l4(ECHO.hostname, taken))] }
      const { message } = yield* Effect.flip(startBackends(config, prepared))
      assert.strictEqual(
        message,
        `the demo backend echo.example.test cannot listen on ${taken}: the port is in use; stop what uses it, ` +
          `or choose another for its route in ${prepared.configFile}`
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
