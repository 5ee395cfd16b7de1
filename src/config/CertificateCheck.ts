/**
 * Checks the certificate files of L7 routes, by the rules that they are loaded by.
 *
 * A step of its own, since a config may name certificates that are not to be loaded: once the database is seeded, its
 * routes hold and the file's do not. Nothing is kept; who serves a certificate loads it again.
 */
import { Effect, type FileSystem, Result } from "effect"
import type { L7Route, Listener } from "../snapshot/Snapshot.ts"
import { readCertificates, readKeyPair } from "../tls/KeyPair.ts"
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
export const checkRouteCertificate = Effect.fnUntraced(function* ({
  backendCa,
  tlsCert,
  tlsKey
}: L7Route): Effect.fn.Return<ReadonlyArray<ConfigProblem>, never, FileSystem.FileSystem> {
  const pair = yield* Effect.result(readKeyPair(tlsCert, tlsKey))
  const found = Result.isSuccess(pair) ? [] : pair.failure
  const problems = found.map(({ file, message }) =>
    file === "key" ? problemOf("tls_key", tlsKey, message) : problemOf("tls_cert", tlsCert, message)
  )
  const authority = backendCa === "" ? undefined : yield* Effect.result(readCertificates(backendCa))
  return authority === undefined || Result.isSuccess(authority)
    ? problems
    : [...problems, problemOf("backend_ca", backendCa, authority.failure)]
})

const problemOf = (key: string, file: string, message: string): ConfigProblem => ({
  path: key,
  message: `${showText(file)} ${message}`
})
