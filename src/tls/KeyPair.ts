/**
 * A certificate with its issuers and its key, read from PEM files and checked: both parse, belong together, and TLS
 * accepts them.
 *
 * Nothing is kept here. `mc-proxy check` and the admin API look at files in this way before a route is taken, and
 * Certificates.ts loads what is served, so that none of them lets pass what another refuses.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto"
import type { Buffer } from "node:buffer"
import { Effect, type FileSystem, Result } from "effect"
import { readBoundedFile } from "../config/BoundedFile.ts"
import { showText } from "../config/Printable.ts"
import { serverContext, type SecureContext } from "./SecureContexts.ts"

export interface KeyPair {
  readonly context: SecureContext
  /** Milliseconds since 1970. The certificate's own; its issuers' may be earlier. */
  readonly notAfter: number
}

/** What is wrong with one of the files; `message` ends a sentence that begins with its path. */
export interface FileProblem {
  readonly file: "certificate" | "key"
  readonly message: string
}

/** `ticketKeys`: of those who have sessions to resume, which other keys would end. */
export const readKeyPair = Effect.fnUntraced(function* (
  certPath: string,
  keyPath: string,
  ticketKeys?: Buffer
): Effect.fn.Return<KeyPair, ReadonlyArray<FileProblem>, FileSystem.FileSystem> {
  const certificates = yield* Effect.result(readCertificates(certPath))
  const key = yield* Effect.result(readPem(keyPath, parseKey))
  if (Result.isSuccess(certificates) && Result.isSuccess(key)) {
    const pair = { certificates: certificates.success, key: key.success, ticketKeys }
    return yield* Effect.fromResult(Result.mapError(makePair(certPath, pair), (problem) => [problem]))
  }
  const problems: Array<FileProblem> = []
  if (Result.isFailure(certificates)) problems.push({ file: "certificate", message: certificates.failure })
  if (Result.isFailure(key)) problems.push({ file: "key", message: key.failure })
  return yield* Effect.fail(problems)
})

/** All certificates of a file, at least one; fails with the end of a sentence that begins with its path. */
export const readCertificates = (
  file: string
): Effect.Effect<ReadonlyArray<X509Certificate>, string, FileSystem.FileSystem> => readPem(file, parseCertificates)

const readPem = <A>(
  file: string,
  parse: (pem: string) => Result.Result<A, string>
): Effect.Effect<A, string, FileSystem.FileSystem> =>
  Effect.flatMap(readBoundedFile(file, PEM_BYTES_MAX), (bytes) =>
    Effect.fromResult(parse(new TextDecoder("latin1").decode(bytes)))
  )

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

interface Parsed {
  readonly certificates: ReadonlyArray<X509Certificate>
  readonly key: KeyObject
  readonly ticketKeys: Buffer | undefined
}

/** Refused unless the first certificate is the key's, and TLS would serve the two. */
const makePair = (certPath: string, { certificates, key, ticketKeys }: Parsed): Result.Result<KeyPair, FileProblem> => {
  const owner = certificates.findIndex((certificate) => certificate.checkPrivateKey(key))
  const [own] = certificates
  if (owner < 0 || own === undefined) {
    return Result.fail({ file: "key", message: `is not the key of the certificate in ${showText(certPath)}` })
  }
  if (owner > 0) {
    const message = `has the key's certificate as number ${owner + 1}; put it first, its issuers after`
    return Result.fail({ file: "certificate", message })
  }
  const chain = certificates.map((certificate) => certificate.toString()).join("")
  // The library's own rules, such as a least key size, are not all known beforehand.
  return attempt(() => serverContext(chain, key.export({ type: "pkcs8", format: "pem" }).toString(), ticketKeys)).pipe(
    Result.map((context) => ({ context, notAfter: own.validToDate.getTime() })),
    Result.mapError((reason) => ({ file: "certificate", message: `is refused by TLS: ${reason}` }))
  )
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
