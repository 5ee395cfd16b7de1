import { assert, describe, it } from "@effect/vitest"
import { ByteSize, Effect, FileSystem, PlatformError, Result } from "effect"
import { readFileSync } from "node:fs"
import { checkCertificates } from "../../src/config/CertificateCheck.ts"
import { parseHostname } from "../../src/snapshot/Hostname.ts"
import type { L7Route, Listener, Route } from "../../src/snapshot/Snapshot.ts"

const pem = (name: string): string => readFileSync(new URL(`certificates/${name}`, import.meta.url), "latin1")

const systemError = (_tag: PlatformError.SystemErrorTag, method: string) =>
  Effect.fail(PlatformError.systemError({ _tag, module: "FileSystem", method }))

/** Only these files are there; `undefined` is a directory. */
const layerFiles = (files: Readonly<Record<string, string | undefined>>) =>
  FileSystem.layerNoop({
    stat: (path) =>
      path in files
        ? Effect.succeed({
            type: files[path] === undefined ? "Directory" : "File",
            size: ByteSize.bytes(files[path]?.length ?? 0)
          } as FileSystem.File.Info)
        : systemError("NotFound", "stat"),
    readFile: (path) =>
      files[path] === "secret"
        ? systemError("PermissionDenied", "open")
        : Effect.succeed(Buffer.from(files[path] ?? ""))
  })

const l7Route: L7Route = {
  hostname: Result.getOrThrow(parseHostname("api.example.net")),
  backend: "127.0.0.1:8080",
  sendProxyProtocol: false,
  mode: "l7",
  tlsCert: "/c.pem",
  tlsKey: "/c.key",
  backendProtocol: "h2",
  backendTls: false,
  backendCa: "",
  backendServerName: "",
  l7Policies: []
}

const listenerOf = (...routes: ReadonlyArray<Route>): Listener => ({
  addr: ":443",
  proxyProtocol: false,
  trustedProxies: [],
  maxConnections: 0,
  routes
})

/** The problems of one route whose files hold the given text. */
const problemsOf = (cert: string | undefined, key: string | undefined) =>
  checkCertificates([listenerOf(l7Route)]).pipe(Effect.provide(layerFiles({ "/c.pem": cert, "/c.key": key })))

const certProblem = (message: string) => [{ path: "listeners[0].routes[0].tls_cert", message: `"/c.pem" ${message}` }]
const keyProblem = (message: string) => [{ path: "listeners[0].routes[0].tls_key", message: `"/c.key" ${message}` }]

describe("CertificateCheck", () => {
  it.effect("finds nothing wrong with a chain and its key, also in one file", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* problemsOf(pem("server.pem"), pem("server.key")), [])
      const both = `# api\n${pem("server.key")}${pem("server.pem")}`
      assert.deepStrictEqual(yield* problemsOf(both, both), [])
    })
  )

  it.effect("names the place of each problem of each route, and reads no file of an L4 route", () =>
    Effect.gen(function* () {
      const l4Route: Route = { hostname: l7Route.hostname, backend: "b:1", sendProxyProtocol: false, mode: "l4" }
      const problems = yield* checkCertificates([listenerOf(l7Route), listenerOf(l4Route, l7Route)])
      assert.deepStrictEqual(
        problems,
        ["listeners[0].routes[0]", "listeners[1].routes[1]"].flatMap((route) => [
          { path: `${route}.tls_cert`, message: '"/c.pem" no such file; check the path' },
          { path: `${route}.tls_key`, message: '"/c.key" no such file; check the path' }
        ])
      )
    }).pipe(Effect.provide(layerFiles({})))
  )

  it.effect("refuses files that cannot be read", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* problemsOf("secret", pem("server.key")),
        certProblem("permission denied; let the user that runs mc-proxy read it")
      )
      assert.deepStrictEqual(
        yield* problemsOf(pem("server.pem"), undefined),
        keyProblem("is a directory; write the path of the file in it")
      )
    })
  )

  it.effect("reads a file of one MiB, and none larger", () =>
    Effect.gen(function* () {
      const padded = pem("server.pem").padEnd(1024 * 1024, "\n")
      assert.deepStrictEqual(yield* problemsOf(padded, pem("server.key")), [])
      assert.deepStrictEqual(
        yield* problemsOf(`${padded}\n`, pem("server.key")),
        certProblem("has over 1048576 bytes; is it the right file?")
      )
    })
  )

  it.effect("refuses files without what they should hold", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* problemsOf(pem("server.key"), pem("server.pem")), [
        ...certProblem("holds no PEM certificate (-----BEGIN CERTIFICATE-----)"),
        ...keyProblem("holds no PEM private key (-----BEGIN PRIVATE KEY-----)")
      ])
      const broken = (text: string) => text.replace(/\n[A-Za-z0-9+/]{20}/, "\n")
      assert.deepStrictEqual(yield* problemsOf(broken(pem("server.pem")), broken(pem("server.key"))), [
        ...certProblem("certificate 1 does not parse"),
        ...keyProblem("holds a private key that does not parse")
      ])
      const second = `${pem("issuer.pem")}${broken(pem("issuer.pem"))}`
      assert.deepStrictEqual(yield* problemsOf(second, pem("issuer.key")), certProblem("certificate 2 does not parse"))
    })
  )

  it.effect("refuses an encrypted key, in both of its forms", () =>
    Effect.gen(function* () {
      for (const name of ["encrypted.key", "encrypted-ec.key"]) {
        assert.deepStrictEqual(
          yield* problemsOf(pem("server.pem"), pem(name)),
          keyProblem("is encrypted, and mc-proxy asks for no passphrase; decrypt it with openssl pkey")
        )
      }
    })
  )

  it.effect("refuses a key that is not the certificate's, also one of another kind", () =>
    Effect.gen(function* () {
      for (const name of ["issuer.key", "weak.key"]) {
        const [certificate] = pem("server.pem").split(/(?<=END CERTIFICATE-----\n)/)
        assert.deepStrictEqual(
          yield* problemsOf(certificate, pem(name)),
          keyProblem('is not the key of the certificate in "/c.pem"')
        )
      }
    })
  )

  it.effect("says where in the chain the key's certificate is, when it is not the first", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* problemsOf(pem("server.pem"), pem("issuer.key")),
        certProblem("has the key's certificate as number 2; put it first, its issuers after")
      )
    })
  )

  it.effect("refuses a certificate that TLS would not serve", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* problemsOf(pem("weak.pem"), pem("weak.key")),
        certProblem("is refused by TLS: ee key too small")
      )
    })
  )

  it.effect("checks the authority of a backend's certificates beside the route's own", () =>
    Effect.gen(function* () {
      const problems = yield* checkCertificates([listenerOf({ ...l7Route, backendTls: true, backendCa: "/ca.pem" })])
      assert.deepStrictEqual(problems, [
        {
          path: "listeners[0].routes[0].backend_ca",
          message: '"/ca.pem" holds no PEM certificate (-----BEGIN CERTIFICATE-----)'
        }
      ])
    }).pipe(Effect.provide(layerFiles({ "/c.pem": pem("server.pem"), "/c.key": pem("server.key"), "/ca.pem": "" })))
  )
})
