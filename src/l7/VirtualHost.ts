/**
 * An L7 route at run time: what its requests are decided by and counted on, and which connections it has.
 *
 * It outlives changes of the route's policies, which are read for each request. When the route itself is replaced or
 * removed, its connections are told to finish; they and their counters stay usable until the last of them has.
 */
import type { RequestCounters } from "../observe/RequestCounters.ts"
import { Running, type Neighbour } from "../pipeline/Running.ts"
import type { L7Policy } from "../snapshot/Snapshot.ts"
import { compilePolicies } from "./Policies.ts"

/** A connection that can be told to finish what is running and to take nothing more. */
export interface Retirable extends Neighbour<Retirable> {
  retire(): void
}

export class VirtualHost {
  readonly counters: RequestCounters
  #policies: ReadonlyArray<L7Policy>
  readonly #connections = new Running<Retirable>()
  #retired = false

  constructor(policies: ReadonlyArray<L7Policy>, counters: RequestCounters) {
    this.#policies = compilePolicies(policies)
    this.counters = counters
  }

  /** Those in force, compiled. */
  get policies(): ReadonlyArray<L7Policy> {
    return this.#policies
  }

  putPolicies(policies: ReadonlyArray<L7Policy>): void {
    this.#policies = compilePolicies(policies)
  }

  /** The connection is served here until it leaves. It is told at once where the route has gone meanwhile. */
  enter(connection: Retirable): void {
    this.#connections.add(connection)
    if (this.#retired) connection.retire()
  }

  leave(connection: Retirable): void {
    this.#connections.remove(connection)
  }

  /** The route is no longer in force. */
  retire(): void {
    this.#retired = true
    for (const connection of this.#connections.all()) connection.retire()
  }
}
