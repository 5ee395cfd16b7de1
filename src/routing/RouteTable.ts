/** The routes of one listener by name, compiled for look-up. Immutable; a route more or less copies one path. */
import { type HashMap, Result } from "effect"
import type { Counters, DialHistogram } from "../observe/Counters.ts"
import { Alarm } from "./Alarm.ts"
import { parseBackendAddress, type BackendAddress } from "../snapshot/Endpoint.ts"
import type { Hostname } from "../snapshot/Hostname.ts"
import type { Route } from "../snapshot/Snapshot.ts"

/** A route with what each of its connections needs at hand. */
export interface CompiledRoute {
  readonly route: Route
  readonly backend: BackendAddress
  readonly dials: DialHistogram
  /** Says when to warn that the backend cannot be reached. */
  readonly backendAlarm: Alarm
}

export type RouteTable = HashMap.HashMap<Hostname, CompiledRoute>

/**
 * Retains the backend's counters. The routes of a published change are valid; one that is not is a defect of whoever
 * published it.
 */
export const compileRoute = (route: Route, counters: Counters["Service"]): CompiledRoute => {
  const backend = Result.getOrThrow(parseBackendAddress(route.backend))
  return { route, backend, dials: counters.retainBackend(route.backend), backendAlarm: new Alarm() }
}
