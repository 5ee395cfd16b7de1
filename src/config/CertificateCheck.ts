/**
 * Checks the certificate files of L7 routes: they can be read, are PEM, belong together, and TLS accepts them.
 *
 * A step of its own, since a config may name certificates that are not to be loaded: once the database is seeded, its
 * routes hold and the file's do not. Nothing is kept; who serves a certificate loads it again.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto"
import { createSecureContext } from "node:tls"
import { Effect, type FileSystem, Result } from "effect"
import type { L7Route, Listener } from "../snapshot/Snapshot.ts"
import { readBoundedFile } from "./BoundedFile.ts"
import type { ConfigProblem } from "./ConfigError.ts"
import { showText } from "./Printable.ts"

/** Every problem of every L7 route, by its place in the file. */
export const checkCertificates = Effect.fn("checkCertificates")(function* (
  listeners: ReadonlyArray<Listener>
): Effect.fn.Return<ReadonlyArray<ConfigProblem>, never, FileSystem.FileSystem> {
  const problems: Array<ConfigProblem> = []
  for (const [i, listener] of listeners.entries()) {
    for (const [j, route] of listener.routes.entries()) {
      if (route.mode === "l4") continue
      for (const { path, message } of yield* checkRouteCertificate(route)) {
        problems.push({ path: `listeners[${i}].routes[${j}].${path}`, message })
      }
    }
  }
  return problems
})

/** The problems of one route, each with the key that names the file. */
export const checkRouteCertificate = Effect.fnUntraced(function* (
  route: L7Route
): Effect.fn.Return<ReadonlyArray<ConfigProblem>, never, FileSystem.FileSystem> {
  const certificate = yield* readPem("tls_cert", route.tlsCert, parseCertificates)
  const key = yield* readPem("tls_key", route.tlsKey, parseKey)
  const problems: Array<ConfigProblem> = []
  if (Result.isFailure(certificate)) problems.push(certificate.failure)
  if (Result.isFailure(key)) problems.push(key.failure)
  if (Result.isSuccess(certificate) && Result.isSuccess(key)) {
    problems.push(...checkPair(route, certificate.success, key.success))
  }
  if (route.backendCa !== "") {
    const authority = yield* readPem("backend_ca", route.backendCa, parseCertificates)
    if (Result.isFailure(authority)) problems.push(authority.failure)
  }
  return problems
})

/** Those of the names that the certificate in `file` is good for; none where it cannot be read. */
export const coveredHostnames = Effect.fnUntraced(function* (
  file: string,
  hostnames: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<string>, never, FileSystem.FileSystem> {
  const read = yield* readPem("tls_cert", file, parseCertificates)
  const certificate = Result.isSuccess(read) ? read.success[0] : undefined
  return certificate === undefined ? [] : hostnames.filter((name) => certificate.checkHost(name) !== undefined)
})

/** Reads and parses the file that `key` names; the failure begins with the file's path. */
const readPem = <A>(
  key: string,
  file: string,
  parse: (pem: string) => Result.Result<A, string>
): Effect.Effect<Result.Result<A, ConfigProblem>, never, FileSystem.FileSystem> =>
  readBoundedFile(file, PEM_BYTES_MAX).pipe(
    Effect.flatMap((bytes) => Effect.fromResult(parse(new TextDecoder("latin1").decode(bytes)))),
    Effect.mapError((message): ConfigProblem => ({ path: key, message: `${showText(file)} ${message}` })),
    Effect.result
  )

/** All certificates of a file, at least one. */
const parseCertificates = (pem: string): Result.Result<ReadonlyArray<X509Certificate>, string> => {
  const blocks = pem.match(CERTIFICATE) ?? []
  if (blocks.length === 0) return Result.fail("holds no PEM certificate (-----BEGIN CERTIFICATE-----)")
  const certificates: Array<X509Certificate> = []
  for (const block of blocks) {
    const certificate = attempt(() => new X509Certificate(block))
    if (Result.isFailure(certificate)) return Result.fail(`certificate ${certificates.length + 1} does not parse`)
    certificates.push(certificate.success)
  }
  return Result.succeed(certificates)
}

const parseKey = (pem: string): Result.Result<KeyObject, string> => {
  const block = PRIVATE_KEY.exec(pem)?.[0]
  if (block === undefined) return Result.fail("holds no PEM private key (-----BEGIN PRIVATE KEY-----)")
  // Told by its header: without a passphrase the library's error does not say what is missing.
  if (ENCRYPTED.test(block)) {
    return Result.fail("is encrypted, and mc-proxy asks for no passphrase; decrypt it with openssl pkey")
  }
  return Result.mapError(
    attempt(() => createPrivateKey(block)),
    () => "holds a private key that does not parse"
  )
}

/** Whether the first certificate is the key's, and TLS would serve the two. */
const checkPair = (
  { tlsCert, tlsKey }: L7Route,
  certificates: ReadonlyArray<X509Certificate>,
  key: KeyObject
): ReadonlyArray<ConfigProblem> => {
  const owner = certificates.findIndex((certificate) => certificate.checkPrivateKey(key))
  if (owner < 0) {
    return [
      { path: "tls_key", message: `${showText(tlsKey)} is not the key of the certificate in ${showText(tlsCert)}` }
    ]
  }
  if (owner > 0) {
    const problem = `has the key's certificate as number ${owner + 1}; put it first, its issuers after`
    return [{ path: "tls_cert", message: `${showText(tlsCert)} ${problem}` }]
  }
  // The library's own rules, such as a least key size, are not all known beforehand.
  const context = attempt(() =>
    createSecureContext({
      cert: certificates.map((certificate) => certificate.toString()).join(""),
      key: key.export({ type: "pkcs8", format: "pem" })
    })
  )
  if (Result.isSuccess(context)) return []
  return [{ path: "tls_cert", message: `${showText(tlsCert)} is refused by TLS: ${context.failure}` }]
}

/** OpenSSL's reason is a phrase of its own after the last colon. */
const attempt = <A>(evaluate: () => A): Result.Result<A, string> =>
  Result.try({
    try: evaluate,
    catch: (error) => (error instanceof Error ? (error.message.split(":").at(-1) ?? "") : String(error))
  })

/** A bundle of every public root takes a quarter of it. */
const PEM_BYTES_MAX = 1024 * 1024

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[^]*?-----END (?:[A-Z]+ )?PRIVATE KEY-----/
const ENCRYPTED = /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/
