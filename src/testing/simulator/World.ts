/** What everybody in a simulation shares: its plan, its journal, its network, and who is there at the moment. */
import type { Deferred } from "effect"
import type { SimHost } from "../../net/sim/SimHost.ts"
import type { SimNetwork } from "../../net/sim/SimNetwork.ts"
import type { Received, SimPeer } from "../../net/sim/SimPeer.ts"
import type { ControlPlane } from "../../control/ControlPlane.ts"
import type { DataPlane } from "../../server/DataPlane.ts"
import type { SimStore } from "../../store/SimStore.ts"
import type { SimProxy } from "../SimProxy.ts"
import type { ClientPlan } from "./ClientPlan.ts"
import type { Journal } from "./Journal.ts"
import type { Plan } from "./Plan.ts"
import type { BackendPlan } from "./Site.ts"
import type { RequestRecord, ServedRecord } from "./WebRecords.ts"
import type { WebBackendPlan } from "./WebSite.ts"

export interface World {
  readonly plan: Plan
  /** Of the edge's machine, by path. */
  readonly files: ReadonlyMap<string, string>
  readonly journal: Journal
  readonly network: SimNetwork["Service"]
  /** The edge's machine, which outlives its crashes. */
  readonly edgeHost: SimHost
  readonly disk: SimStore
  /** The edge's process; `undefined` while there is none. */
  life: Life | undefined
  /** By number, while they are connected. */
  readonly clients: Map<number, SimPeer>
  readonly clientRecords: Array<ClientRecord>
  readonly visits: Array<BackendVisit>
  /** Those of HTTP: what clients saw of requests, what backends did, and the connections that reached these. */
  readonly requests: Array<RequestRecord>
  readonly served: Array<ServedRecord>
  readonly webVisits: Array<WebVisit>
  /** What is wrong with those that speak HTTP, by name: they say nothing to who comes, or nothing that makes sense. */
  readonly webTroubles: Map<string, "web_stalling" | "web_failing">
  /** The last commit's result is not known to the proxy, and so neither whether memory is what the disk has. */
  uncertain: boolean
  /** How many results of commits were not known so far. */
  unknowns: number
  /** Until then a statement is slow, so that a mutation is under way. */
  diskBusyUntil: number
  /** The revision at which the state was last checked. */
  checkedRevision: number
}

export interface Life {
  readonly proxy: SimProxy["Service"]
  readonly control: ControlPlane["Service"]
  readonly plane: DataPlane["Service"]
  /** Completes when the process is lost. */
  readonly lost: Deferred.Deferred<void>
}

/** What a client saw. */
export interface ClientRecord {
  readonly plan: ClientPlan
  /** `undefined`: it was not connected. */
  readonly received: Received | undefined
}

/** One connection to a backend. */
export interface BackendVisit {
  readonly backend: BackendPlan
  readonly peer: SimPeer
  /** What came, and what was sent, or begun to be. */
  readonly received: Array<Uint8Array>
  readonly sent: Array<Uint8Array>
}

/** One connection to a backend that speaks HTTP. */
export interface WebVisit {
  readonly backend: WebBackendPlan
  readonly peer: SimPeer
}
