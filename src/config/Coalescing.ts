/**
 * Warns where browsers will coalesce: they take a connection to one name for every other name that its certificate
 * covers (RFC 9113 9.1.1), and a request for a name with a route of its own is then answered 421.
 *
 * Certificates are read from their files, each once. That is a warning's work and no check: what cannot be read is
 * passed over here.
 */
import type { X509Certificate } from "node:crypto"
import { Effect, type FileSystem } from "effect"
import type { L7Route, Listener, Route } from "../snapshot/Snapshot.ts"
import { readCertificates } from "../tls/KeyPair.ts"

/** A warning for each L7 certificate and each hostname of another route on its listener that it covers. */
export const coalescingWarnings = Effect.fn("coalescingWarnings")(function* (
  listeners: ReadonlyArray<Pick<Listener, "addr" | "routes">>
): Effect.fn.Return<ReadonlyArray<string>, never, FileSystem.FileSystem> {
  const read = reader()
  const warnings: Array<string> = []
  for (const { addr, routes } of listeners) {
    const names = new HostnameIndex(routes)
    for (const route of routes) if (route.mode === "l7") warnings.push(...warn(addr, route, names, yield* read(route)))
  }
  return warnings
})

/** Those that `route` is the reason of, beside the `others` of its listener. */
export const coalescingWarningsOf = Effect.fn("coalescingWarningsOf")(function* (
  addr: string,
  route: Route,
  others: ReadonlyArray<Route>
): Effect.fn.Return<ReadonlyArray<string>, never, FileSystem.FileSystem> {
  const read = reader()
  const own = route.mode === "l7" ? warn(addr, route, new HostnameIndex(others), yield* read(route)) : []
  const warnings = [...own]
  const name = new HostnameIndex([route])
  for (const other of firstOfEach(others)) warnings.push(...warn(addr, other, name, yield* read(other)))
  return warnings
})

/** An L7 route for each certificate, up to a bound. */
const firstOfEach = (routes: ReadonlyArray<Route>): ReadonlyArray<L7Route> => {
  const found = new Map<string, L7Route>()
  for (const route of routes) {
    if (route.mode === "l7" && !found.has(route.tlsCert)) found.set(route.tlsCert, route)
    if (found.size === FILES_READ_MAX) break
  }
  return [...found.values()]
}

/** A caller of the admin API waits for the warnings of the route that it adds; the next start gives all. */
const FILES_READ_MAX = 100

const warn = (
  addr: string,
  route: L7Route,
  names: HostnameIndex,
  certificate: X509Certificate | undefined
): ReadonlyArray<string> =>
  (certificate === undefined ? [] : names.coveredBy(certificate)).flatMap((other) =>
    other === route.hostname
      ? []
      : [
          `the certificate of ${route.hostname} also covers ${other} on ${addr}: browsers will use one connection for both, and be answered 421 for ${other}`
        ]
  )

/** Reads a route's own certificate, a file that several name once. */
const reader = () => {
  const known = new Map<string, X509Certificate | undefined>()
  return Effect.fnUntraced(function* ({ tlsCert }: L7Route) {
    if (!known.has(tlsCert)) {
      const certificates = yield* Effect.orElseSucceed(readCertificates(tlsCert), () => [])
      known.set(tlsCert, certificates[0])
    }
    return known.get(tlsCert)
  })
}

/** The hostnames of routes, to be found by what a certificate says; not each compared with each. */
class HostnameIndex {
  readonly #names = new Set<string>()
  readonly #byParent = new Map<string, Array<string>>()

  constructor(routes: ReadonlyArray<Route>) {
    for (const { hostname } of routes) {
      this.#names.add(hostname)
      const parent = parentOf(hostname)
      const siblings = this.#byParent.get(parent)
      if (siblings === undefined) this.#byParent.set(parent, [hostname])
      else siblings.push(hostname)
    }
  }

  /** Those that the certificate is good for, by its alternative names: browsers look at no others (RFC 9110 4.3.4). */
  coveredBy(certificate: X509Certificate): ReadonlyArray<string> {
    const candidates = new Set<string>()
    for (const [, name = ""] of (certificate.subjectAltName ?? "").matchAll(DNS_NAME)) {
      const lower = name.toLowerCase()
      if (this.#names.has(lower)) candidates.add(lower)
      if (lower.includes("*")) for (const sibling of this.#byParent.get(parentOf(lower)) ?? []) candidates.add(sibling)
    }
    return [...candidates].filter((name) => certificate.checkHost(name) !== undefined)
  }
}

/** A wildcard stands for one label, the first (RFC 9525 6.3). */
const parentOf = (name: string): string => name.slice(name.indexOf(".") + 1)

/** As Node writes `subjectAltName`; a name with a comma in it is quoted, and is no host name. */
const DNS_NAME = /(?:^|, )DNS:([^",]+)/g
