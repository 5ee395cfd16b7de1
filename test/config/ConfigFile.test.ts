import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Path, PlatformError } from "effect"
import { loadConfig } from "../../src/config/Config.ts"
import { FILE_BYTES_MAX } from "../../src/config/ConfigFile.ts"
import { REQUIRED } from "./Parsing.ts"

/** A file of the given bytes in a folder of its own, gone after the test. */
const fileOf = (bytes: string | Uint8Array) =>
  Effect.gen(function* () {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.join(yield* fileSystem.makeTempDirectoryScoped(), "mc-proxy.toml")
    yield* typeof bytes === "string" ? fileSystem.writeFileString(file, bytes) : fileSystem.writeFile(file, bytes)
    return file
  })

const messageOf = (file: string) => Effect.map(Effect.flip(loadConfig(file, {})), ({ message }) => message)

describe("ConfigFile", () => {
  it.layer(NodeServices.layer)((it) => {
    it.effect("loads a file, its paths relative to the folder that it is in", () =>
      Effect.gen(function* () {
        const path = yield* Path.Path
        const file = yield* fileOf(`${REQUIRED}\n[grpc]\naddr = "admin.sock"`)
        const config = yield* loadConfig(path.relative(".", file), { MCPROXY_FIREWALL_GEOIP_DB: "g.mmdb" })
        assert.strictEqual(config.database.path, path.join(path.dirname(file), "mc-proxy.db"))
        assert.strictEqual(config.grpc?.addr, path.join(path.dirname(file), "admin.sock"))
        assert.strictEqual(config.firewall.geoipDb, path.join(path.dirname(file), "g.mmdb"))
      })
    )

    it.effect("tells what is wrong in a file by the name that was given", () =>
      Effect.gen(function* () {
        const path = yield* Path.Path
        const file = path.relative(".", yield* fileOf('[log]\nlevel = "all"'))
        assert.isTrue((yield* messageOf(file)).startsWith(`${file}: 3 problems\n  listeners: missing`))
      })
    )

    it.effect("says that there is no such file", () =>
      Effect.gen(function* () {
        const file = `${yield* fileOf("")}.not`
        assert.strictEqual(yield* messageOf(file), `${file}: no such file; check the path`)
      })
    )

    it.effect("says that the file is a directory", () =>
      Effect.gen(function* () {
        const path = yield* Path.Path
        const folder = path.dirname(yield* fileOf(""))
        assert.strictEqual(yield* messageOf(folder), `${folder}: is a directory; write the path of the file in it`)
      })
    )

    it.effect("refuses a device, which has no end", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* messageOf("/dev/zero"), "/dev/zero: is no regular file")
      })
    )

    it.effect("names the first line that is not UTF-8", () =>
      Effect.gen(function* () {
        const [latin1, last] = [Buffer.from("# größe\n# é\n", "latin1"), Buffer.from("# a\n# é", "latin1")]
        const first = yield* fileOf(Buffer.concat([Buffer.from("# größe\n\n"), latin1]))
        const second = yield* fileOf(last)
        assert.strictEqual(yield* messageOf(first), `${first}: line 3 is not UTF-8; save the file as UTF-8`)
        assert.strictEqual(yield* messageOf(second), `${second}: line 2 is not UTF-8; save the file as UTF-8`)
      })
    )

    it.effect("reads a file of the largest size, and none larger", () =>
      Effect.gen(function* () {
        const text = `${REQUIRED}\n#`
        const largest = yield* fileOf(text + "x".repeat(FILE_BYTES_MAX - text.length))
        const larger = yield* fileOf(text + "x".repeat(FILE_BYTES_MAX - text.length + 1))
        assert.strictEqual((yield* loadConfig(largest, {})).listeners.length, 1)
        assert.strictEqual(yield* messageOf(larger), `${larger}: has over 16777216 bytes; is it the right file?`)
      })
    )
  })

  it.effect("says that the file may not be read", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* messageOf("/etc/secret.toml"),
        "/etc/secret.toml: permission denied; let the user that runs mc-proxy read it"
      )
    }).pipe(Effect.provide(Layer.mergeAll(FileSystem.layerNoop({ stat: () => Effect.fail(denied) }), Path.layer)))
  )
})

const denied = PlatformError.systemError({ _tag: "PermissionDenied", module: "FileSystem", method: "stat" })
