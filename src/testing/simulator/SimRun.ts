/** A simulation that has been played: what checkers judge. */
import type { SimEvent } from "./Journal.ts"
import type { Plan } from "./Plan.ts"
import type { RequestRecord, ServedRecord } from "./WebRecords.ts"
import type { BackendVisit, ClientRecord } from "./World.ts"

export interface SimRun {
  readonly plan: Plan
  readonly events: ReadonlyArray<SimEvent>
  readonly clients: ReadonlyArray<ClientRecord>
  readonly visits: ReadonlyArray<BackendVisit>
  /** Of HTTP, as clients and as backends saw them. */
  readonly requests: ReadonlyArray<RequestRecord>
  readonly served: ReadonlyArray<ServedRecord>
  /** What was there when everybody had gone; `undefined` when it has not come to that. */
  readonly left: Left | undefined
}

export interface Left {
  readonly fibers: number
  readonly sleeps: number
  readonly sockets: number
  /** What is on its way, and timers of the network. */
  readonly networkEvents: number
}

/** What was promised and not kept, a sentence each. */
export type Check = (run: SimRun) => ReadonlyArray<string>
