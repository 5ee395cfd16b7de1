import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, type Path, type PlatformError, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { prepareCertificates } from "../../src/devserver/Certificates.ts"
import { CertificateAuthority } from "../../src/devserver/CertificateAuthority.ts"
import { API, DEMOS, HELLO } from "../../src/devserver/Demo.ts"

const DAY_MS = 24 * 60 * 60 * 1000
const YEAR_MS = 365 * DAY_MS
const CERTIFICATES = ["ca.pem", "hello.pem", "echo.pem", "api.pem"]
const FILES = ["api.key", "api.pem", "ca.pem", "echo.key", "echo.pem", "hello.key", "hello.pem"]

/** A folder that is not there yet, in one that goes with the test. */
const newFolder = Effect.gen(function* () {
  const fileSystem = yield* FileSystem.FileSystem
  return `${yield* fileSystem.makeTempDirectoryScoped()}/certs`
})

const read = Effect.fnUntraced(function* (folder: string, file: string) {
  return yield* (yield* FileSystem.FileSystem).readFileString(`${folder}/${file}`)
})

const write = Effect.fnUntraced(function* (folder: string, file: string, text: string) {
  yield* (yield* FileSystem.FileSystem).writeFileString(`${folder}/${file}`, text)
})

/** Everything that a folder holds: each file's bytes, mode, time and inode. */
const stateOf = Effect.fnUntraced(function* (folder: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const state: Array<unknown> = []
  for (const file of (yield* fileSystem.readDirectory(folder)).sort()) {
    const { ino, mode, mtime } = yield* fileSystem.stat(`${folder}/${file}`)
    state.push({ file, text: yield* read(folder, file), ino, mode, mtime })
  }
  return state
})

/** Fails unless what is on disk is what was given out, and a client can verify it. */
const assertSound = Effect.fnUntraced(function* (folder: string) {
  const { authorityFile, identities, replacedFor } = yield* prepareCertificates(folder)
  assert.deepStrictEqual(replacedFor, [])
  assert.strictEqual(authorityFile, `${folder}/ca.pem`)
  const authority = new X509Certificate(yield* read(folder, "ca.pem"))
  for (const { hostname, name } of DEMOS) {
    assert.strictEqual(yield* read(folder, `${name}.pem`), identities[name].certificate)
    assert.strictEqual(yield* read(folder, `${name}.key`), identities[name].key)
    const certificate = new X509Certificate(identities[name].certificate)
    assert.isTrue(certificate.verify(authority.publicKey))
    assert.strictEqual(certificate.checkHost(hostname), hostname)
    assert.isTrue(certificate.checkPrivateKey(createPrivateKey(identities[name].key)))
  }
})

/** An authority at the tests' time, which is 1970. */
const otherAuthority = Effect.promise(() =>
  CertificateAuthority.make("another", { from: new Date(0), to: new Date(YEAR_MS) })
)

const SPOILT: ReadonlyArray<{
  readonly problem: string
  readonly spoil: (folder: string) => Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem>
}> = [
  {
    problem: "ca.pem is no certificate of an authority",
    spoil: Effect.fnUntraced(function* (folder) {
      yield* write(folder, "ca.pem", yield* read(folder, "hello.pem"))
    })
  },
  {
    problem: "hello.pem is no certificate",
    spoil: Effect.fnUntraced(function* (folder) {
      yield* write(folder, "hello.pem", (yield* read(folder, "hello.pem")).slice(0, 300))
    })
  },
  { problem: "echo.key is no private key", spoil: (folder) => write(folder, "echo.key", "") },
  {
    problem: "echo.key is not the key of echo.pem",
    spoil: Effect.fnUntraced(function* (folder) {
      yield* write(folder, "echo.key", yield* read(folder, "hello.key"))
    })
  },
  {
    problem: "hello.pem is not signed by ca.pem",
    spoil: Effect.fnUntraced(function* (folder) {
      const authority = yield* otherAuthority
      const { certificate, key } = yield* Effect.promise(() => authority.issue(HELLO.hostname))
      yield* write(folder, "hello.pem", certificate)
      yield* write(folder, "hello.key", key)
    })
  },
  {
    problem: "echo.pem is not for echo.example.test",
    spoil: Effect.fnUntraced(function* (folder) {
      const authority = yield* otherAuthority
      yield* write(folder, "ca.pem", authority.certificate)
      for (const name of ["hello", "echo", "api"]) {
        const { certificate, key } = yield* Effect.promise(() =>
          authority.issue(name === "api" ? API.hostname : HELLO.hostname)
        )
        yield* write(folder, `${name}.pem`, certificate)
        yield* write(folder, `${name}.key`, key)
      }
    })
  }
]

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, FileSystem.FileSystem | Path.Path | Scope.Scope>
): void => it.effect(name, () => Effect.provide(body(), NodeServices.layer))

describe("prepareCertificates", () => {
  test("makes a set that its owner alone can read the keys of, and speaks of no replacement", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* newFolder
      const { replacedFor } = yield* prepareCertificates(folder)
      assert.deepStrictEqual(replacedFor, [])
      assert.deepStrictEqual((yield* fileSystem.readDirectory(folder)).sort(), FILES)
      assert.strictEqual((yield* fileSystem.stat(folder)).mode & 0o777, 0o700)
      for (const { name } of DEMOS) {
        assert.strictEqual((yield* fileSystem.stat(`${folder}/${name}.key`)).mode & 0o777, 0o600)
      }
      yield* assertSound(folder)
    }))

  test("leaves the authority's key nowhere", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      yield* prepareCertificates(folder)
      const authority = new X509Certificate(yield* read(folder, "ca.pem"))
      for (const file of FILES.filter((name) => name.endsWith(".key"))) {
        assert.isFalse(authority.checkPrivateKey(createPrivateKey(yield* read(folder, file))))
      }
    }))

  test("touches nothing of a sound set, up to a day before it expires", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      yield* prepareCertificates(folder)
      const before = yield* stateOf(folder)
      yield* TestClock.adjust(YEAR_MS - DAY_MS - 1000)
      assert.deepStrictEqual((yield* prepareCertificates(folder)).replacedFor, [])
      assert.deepStrictEqual(yield* stateOf(folder), before)
    }))

  test("replaces a set in its last day, and one that has expired", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      yield* prepareCertificates(folder)
      yield* TestClock.adjust(YEAR_MS - DAY_MS)
      const second = yield* prepareCertificates(folder)
      assert.deepStrictEqual(
        second.replacedFor,
        CERTIFICATES.map((file) => `${file} expires on 1971-01-01`)
      )
      yield* TestClock.adjust(2 * YEAR_MS)
      const third = yield* prepareCertificates(folder)
      assert.deepStrictEqual(
        third.replacedFor,
        CERTIFICATES.map((file) => `${file} expired on 1971-12-31`)
      )
      yield* assertSound(folder)
    }))

  test("replaces a set that is from the future", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      yield* TestClock.adjust(2 * DAY_MS)
      yield* prepareCertificates(folder)
      yield* TestClock.setTime(0)
      const { replacedFor } = yield* prepareCertificates(folder)
      assert.deepStrictEqual(
        replacedFor,
        CERTIFICATES.map((file) => `${file} is not valid before 1970-01-03`)
      )
    }))

  for (const { spoil, problem } of SPOILT) {
    test(`replaces a set and says why when ${problem}`, () =>
      Effect.gen(function* () {
        const folder = yield* newFolder
        yield* prepareCertificates(folder)
        yield* spoil(folder)
        const { replacedFor } = yield* prepareCertificates(folder)
        assert.deepStrictEqual(replacedFor, [problem])
        yield* assertSound(folder)
      }))
  }

  test("completes a set of which any part is missing", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* newFolder
      for (let missing = 1; missing < 1 << FILES.length; missing++) {
        yield* prepareCertificates(folder)
        const removed = FILES.filter((_, i) => (missing & (1 << i)) !== 0)
        for (const file of removed) yield* fileSystem.remove(`${folder}/${file}`)
        const { replacedFor } = yield* prepareCertificates(folder)
        // A folder without any is as a new one.
        const expected = removed.length === FILES.length ? [] : removed.map((file) => `${file} is missing`)
        assert.sameMembers([...replacedFor], expected)
        yield* assertSound(folder)
        yield* TestClock.adjust(1)
      }
    }))

  test("keeps what it replaces", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* newFolder
      yield* fileSystem.makeDirectory(folder)
      for (const file of FILES) yield* write(folder, file, `the user's ${file}`)
      const { replacedFor } = yield* prepareCertificates(folder)
      assert.deepStrictEqual(replacedFor, ["ca.pem is no certificate of an authority"])
      for (const file of FILES) {
        assert.strictEqual(yield* read(folder, `${file}.replaced-1970-01-01T00-00-00-000Z`), `the user's ${file}`)
      }
      yield* assertSound(folder)
    }))
})
