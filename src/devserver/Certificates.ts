/**
 * The demos' certificates in a folder: a throw-away authority's (`ca.pem`), and a certificate and key a demo.
 *
 * They are one set: used again as long as all of it is sound, else made again as a whole, since the authority's key is
 * kept nowhere. What is replaced stays beside it under another name, so that no key is ever lost to a wrong `--dir`.
 */
import { DateTime, Effect, FileSystem, Option, Path, type PlatformError, Result } from "effect"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "../store/PrivateFile.ts"
import { CertificateAuthority, type Identity } from "./CertificateAuthority.ts"
import { API, DEMOS, ECHO, HELLO, type Demo } from "./Demo.ts"
import { PUBLIC_FILE_MODE, readIfThere, writeWhole } from "./WholeFile.ts"

export interface Certificates {
  /** The authority's certificate, for `curl --cacert`. */
  readonly authorityFile: string
  readonly identities: Readonly<Record<Demo["name"], Identity>>
  /** What was wrong with the set that these replaced; empty when they replaced none. */
  readonly replacedFor: ReadonlyArray<string>
}

/** The set in `folder`, made when there is none or it cannot be used. */
export const prepareCertificates = Effect.fn("prepareCertificates")(function* (
  folder: string
): Effect.fn.Return<Certificates, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const now = yield* DateTime.nowAsDate
  const found = yield* readSet(folder)
  const problems = problemsOf(found, now)
  const set = problems.length === 0 ? found : yield* Effect.promise(() => makeSet(now))
  if (set !== found) yield* writeSet(folder, set)
  return {
    authorityFile: path.join(folder, AUTHORITY_FILE),
    identities: { hello: identityOf(set, HELLO), echo: identityOf(set, ECHO), api: identityOf(set, API) },
    replacedFor: found.size === 0 ? [] : problems
  }
})

/** The text of each file of a set, by its name. */
type CertificateSet = ReadonlyMap<string, string>

const makeSet = async (now: Date): Promise<CertificateSet> => {
  const validity = { from: now, to: new Date(now.getTime() + VALIDITY_MS) }
  const authority = await CertificateAuthority.make(AUTHORITY_NAME, validity)
  const set = new Map([[AUTHORITY_FILE, authority.certificate]])
  for (const demo of DEMOS) {
    const { certificate, key } = await authority.issue(demo.hostname)
    set.set(certificateFile(demo), certificate).set(keyFile(demo), key)
  }
  return set
}

const readSet = Effect.fnUntraced(function* (folder: string) {
  const path = yield* Path.Path
  const set = new Map<string, string>()
  for (const file of FILES) {
    const text = yield* readIfThere(path.join(folder, file))
    if (Option.isSome(text)) set.set(file, text.value)
  }
  return set
})

const writeSet = Effect.fnUntraced(function* (folder: string, set: CertificateSet) {
  const path = yield* Path.Path
  const fileSystem = yield* FileSystem.FileSystem
  yield* fileSystem.makeDirectory(folder, { recursive: true, mode: PRIVATE_FOLDER_MODE })
  for (const [file, text] of set) {
    yield* writeWhole(path.join(folder, file), text, file.endsWith(KEY_SUFFIX) ? PRIVATE_FILE_MODE : PUBLIC_FILE_MODE)
  }
})

/** Why a set cannot be used at `now`, a sentence each. */
const problemsOf = (set: CertificateSet, now: Date): ReadonlyArray<string> => {
  const missing = FILES.filter((file) => !set.has(file))
  if (missing.length > 0) return missing.map((file) => `${file} is missing`)
  const authority = parse(() => new X509Certificate(set.get(AUTHORITY_FILE)!))
  if (authority === undefined || !authority.ca) return [`${AUTHORITY_FILE} is no certificate of an authority`]
  return [
    ...validityProblems(AUTHORITY_FILE, authority, now),
    ...DEMOS.flatMap((demo) => identityProblems(demo, identityOf(set, demo), authority, now))
  ]
}

const identityProblems = (
  demo: Demo,
  identity: Identity,
  authority: X509Certificate,
  now: Date
): ReadonlyArray<string> => {
  const file = certificateFile(demo)
  const certificate = parse(() => new X509Certificate(identity.certificate))
  if (certificate === undefined) return [`${file} is no certificate`]
  const key = parse(() => createPrivateKey(identity.key))
  if (key === undefined) return [`${keyFile(demo)} is no private key`]
  if (!certificate.checkPrivateKey(key)) return [`${keyFile(demo)} is not the key of ${file}`]
  if (!certificate.verify(authority.publicKey)) return [`${file} is not signed by ${AUTHORITY_FILE}`]
  if (certificate.checkHost(demo.hostname) === undefined) return [`${file} is not for ${demo.hostname}`]
  return validityProblems(file, certificate, now)
}

const validityProblems = (file: string, certificate: X509Certificate, now: Date): ReadonlyArray<string> => {
  const { validFromDate, validToDate } = certificate
  const day = (date: Date) => date.toISOString().slice(0, 10)
  if (now.getTime() < validFromDate.getTime()) return [`${file} is not valid before ${day(validFromDate)}`]
  if (now.getTime() + VALIDITY_LEFT_MIN_MS < validToDate.getTime()) return []
  return [`${file} ${now < validToDate ? "expires" : "expired"} on ${day(validToDate)}`]
}

const parse = <A>(evaluate: () => A): A | undefined =>
  Result.getOrUndefined(Result.try({ try: evaluate, catch: () => undefined }))

const identityOf = (set: CertificateSet, demo: Demo): Identity => ({
  certificate: set.get(certificateFile(demo)) ?? "",
  key: set.get(keyFile(demo)) ?? ""
})

const AUTHORITY_NAME = "mc-proxy devserver"
const AUTHORITY_FILE = "ca.pem"
const KEY_SUFFIX = ".key"
const certificateFile = ({ name }: Demo): string => `${name}.pem`
const keyFile = ({ name }: Demo): string => `${name}${KEY_SUFFIX}`
const FILES: ReadonlyArray<string> = [
  AUTHORITY_FILE,
  ...DEMOS.flatMap((demo) => [certificateFile(demo), keyFile(demo)])
]

const DAY_MS = 24 * 60 * 60 * 1000
const VALIDITY_MS = 365 * DAY_MS
/** One that expires sooner may do so while it is being served. */
const VALIDITY_LEFT_MIN_MS = DAY_MS
