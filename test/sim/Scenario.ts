/** What happens to a simulated proxy: who connects and what they do, which mutations are asked for, what the disk does. */
import * as fc from "fast-check"
import type { StoreFault } from "../../src/store/SimStore.ts"

export interface Scenario {
  /** Of the network's chance. */
  readonly seed: number
  readonly latencyMsMax: number
  readonly segmentBytesMax: number
  readonly clients: ReadonlyArray<ClientScript>
  /** One after the other. */
  readonly mutations: ReadonlyArray<MutationScript>
  /** By the number of the statement. */
  readonly faults: ReadonlyMap<number, StoreFault>
}

export interface ClientScript {
  readonly atMs: number
  readonly ip: string
  readonly hostname: string
  /** What it sends behind its hello, and what the backend answers with. */
  readonly sends: number
  readonly receives: number
  /** `finish` and wait for the answer, or `reset` after a while, whatever has come. */
  readonly leaves: "finish" | "reset"
}

/** Mutations that are right whatever the state is. */
export type MutationScript =
  | { readonly atMs: number; readonly op: "block" | "unblock"; readonly ip: string }
  | { readonly atMs: number; readonly op: "route" | "unroute"; readonly hostname: string }

export const IPS = ["192.0.2.1", "192.0.2.2"] as const
export const HOSTNAMES = ["a.test", "b.test"] as const

const ip = fc.constantFrom(...IPS)
const hostname = fc.constantFrom(...HOSTNAMES)
const atMs = fc.nat({ max: 400 })

const client: fc.Arbitrary<ClientScript> = fc.record({
  atMs,
  ip,
  hostname,
  sends: fc.nat({ max: 3000 }),
  receives: fc.nat({ max: 3000 }),
  leaves: fc.constantFrom("finish", "finish", "finish", "reset")
})

const mutation: fc.Arbitrary<MutationScript> = fc.oneof(
  fc.record({ atMs, op: fc.constantFrom("block", "unblock"), ip }),
  fc.record({ atMs, op: fc.constantFrom("route", "unroute"), hostname })
)

const fault: fc.Arbitrary<StoreFault> = fc.oneof(
  fc.nat({ max: 50 }).map((ms): StoreFault => ({ _tag: "Slow", ms })),
  fc.constant<StoreFault>({ _tag: "Failed" }),
  fc.boolean().map((done): StoreFault => ({ _tag: "Unknown", done }))
)

/** The first statement is the start's load, which is to succeed. */
const faults = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fault), { maxLength: 8 })

export const scenario: fc.Arbitrary<Scenario> = fc.record({
  seed: fc.nat(),
  latencyMsMax: fc.nat({ max: 15 }),
  segmentBytesMax: fc.integer({ min: 1, max: 1500 }),
  clients: fc.array(client, { maxLength: 12 }),
  mutations: fc.array(mutation, { maxLength: 8 }),
  faults: faults.map((entries) => new Map(entries))
})
