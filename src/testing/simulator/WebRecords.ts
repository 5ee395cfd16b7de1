/** What clients and backends saw of each request, for checkers. */
import type { Fields } from "../../l7/Message.ts"
import type { RequestPlan } from "./WebPlan.ts"
import type { WebBackendPlan } from "./WebSite.ts"

/** How a body ended: as it should, or broken off. */
export type BodyEnd = "whole" | "cut"

/** A request as its client saw it. */
export interface RequestRecord {
  readonly client: number
  readonly index: number
  readonly plan: RequestPlan
  /** The numbers of events. `undefined`: it has not come to that. */
  sentAt: number | undefined
  doneAt: number | undefined
  /** Final ones; one at most is to come. */
  readonly statuses: Array<number>
  /** Of the proxy's own answers this is missing. */
  isBackends: boolean
  readonly body: Array<Uint8Array>
  end: BodyEnd | undefined
  trailer: string
  /** Simulated milliseconds. `undefined`: it was not cancelled. */
  cancelledMs: number | undefined
}

/** A request as a backend saw it. */
export interface ServedRecord {
  readonly backend: WebBackendPlan
  /** The number of the connection that it came on. */
  readonly visit: number
  readonly client: number
  readonly index: number
  readonly method: string
  readonly fields: Fields
  /** The PROXY header before all requests of its connection; empty where there was none. */
  readonly header: Uint8Array
  readonly body: Array<Uint8Array>
  end: BodyEnd | undefined
  /** Simulated milliseconds: since when nothing is done about it any more. */
  goneMs: number | undefined
  trailer: string
  /** It was told that nothing was done about it. */
  isRefused: boolean
}

/** By which a client tells a backend's answer from the proxy's own. */
export const BACKEND_FIELD = "x-answered-by"
/** The trailer of a request's body that has one. */
export const REQUEST_TRAILER = "x-checksum"
/** And of an answer's. */
export const trailerName = ({ kind }: RequestPlan): string => (kind === "grpc" ? "grpc-status" : REQUEST_TRAILER)
