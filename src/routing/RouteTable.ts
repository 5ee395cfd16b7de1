/** The routes of one listener by name, compiled for look-up. Immutable; a route more or less copies one path. */
import { isDeepStrictEqual } from "node:util"
import { type HashMap, Result } from "effect"
import type { Counters, DialHistogram } from "../observe/Counters.ts"
import { VirtualHost } from "../l7/VirtualHost.ts"
import { Alarm } from "./Alarm.ts"
import { parseBackendAddress, type BackendAddress } from "../snapshot/Endpoint.ts"
import type { Hostname } from "../snapshot/Hostname.ts"
import type { L4Route, L7Route, Route } from "../snapshot/Snapshot.ts"
import type { Certificates, CertificateSlot } from "../tls/Certificates.ts"

/** A route with what each of its connections needs at hand. */
export type CompiledRoute = CompiledL4Route | CompiledL7Route

export interface CompiledL4Route extends CompiledBase {
  readonly route: L4Route
}

export interface CompiledL7Route extends CompiledBase {
  readonly route: L7Route
  /** The same for as long as nothing but the route's policies changes. */
  readonly host: VirtualHost
  readonly certificate: CertificateSlot
}

interface CompiledBase {
  readonly backend: BackendAddress
  readonly dials: DialHistogram
  /** Says when to warn that the backend cannot be reached. */
  readonly backendAlarm: Alarm
}

export type RouteTable = HashMap.HashMap<Hostname, CompiledRoute>

/** What routes share, and retain. */
export interface RouteResources {
  readonly counters: Counters["Service"]
  readonly certificates: Certificates["Service"]
}

/**
 * Retains the route's counters and its certificate, which is yet to be loaded. The routes of a published change are
 * valid; one that is not is a defect of whoever published it.
 */
export const compileRoute = (route: Route, { certificates, counters }: RouteResources): CompiledRoute => {
  const backend = Result.getOrThrow(parseBackendAddress(route.backend))
  const base = { backend, dials: counters.retainBackend(route.backend), backendAlarm: new Alarm() }
  if (route.mode === "l4") return { ...base, route }
  const host = new VirtualHost(route.l7Policies, counters.retainHostname(route.hostname))
  return { ...base, route, host, certificate: certificates.retain(route.tlsCert, route.tlsKey) }
}

/** Gives back what it retained. */
export const releaseRoute = (compiled: CompiledRoute, { certificates, counters }: RouteResources): void => {
  counters.releaseBackend(compiled.route.backend)
  if (!isL7(compiled)) return
  counters.releaseHostname(compiled.route.hostname)
  certificates.release(compiled.certificate)
}

/** Tells the connections of a route that is no longer in force to finish. Those on L4 go on. */
export const retireRoute = (compiled: CompiledRoute): void => {
  if (isL7(compiled)) compiled.host.retire()
}

export const isL7 = (compiled: CompiledRoute): compiled is CompiledL7Route => compiled.route.mode === "l7"

/** Whether two routes are the same but for their policies. */
export const differInPoliciesAlone = (one: L7Route, other: L7Route): boolean =>
  isDeepStrictEqual({ ...one, l7Policies: [] }, { ...other, l7Policies: [] })
