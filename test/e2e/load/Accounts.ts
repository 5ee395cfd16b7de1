/** Holds the access log against what the clients and the backends of a mixed load have seen. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { AccessLine } from "../harness/Proxy.ts"
import { OUTCOME_OF, type Visit } from "./MixedLoad.ts"
import { type TransferBackend, uploadOf } from "./Transfer.ts"

/** The visit and the line that tells of it. */
export interface Account {
  readonly visit: Visit
  readonly line: Pick<AccessLine, "peer" | "outcome" | "from_client" | "from_backend">
}

/**
 * Pairs each visit with one line and each line with one visit, and asserts that the outcome is the visit's.
 *
 * A client that resets before it is accepted has no address any more, and any such line is as good as another.
 */
export const pair = (visits: ReadonlyArray<Visit>, lines: ReadonlyArray<Account["line"]>): ReadonlyArray<Account> => {
  const byPeer = Map.groupBy(lines, ({ peer }) => peer)
  const nameless = byPeer.get(NO_ADDRESS) ?? []
  const accounts = visits.map((visit) => {
    const early = visit.kind === "resetsSomewhere" ? nameless : []
    const line = byPeer.get(visit.local)?.shift() ?? early.shift()
    assert(line !== undefined, `an access line for ${visit.kind} from ${visit.local}`)
    assert.strictEqual(line.outcome, OUTCOME_OF[visit.kind], `of a client that ${visit.kind}`)
    return { visit, line }
  })
  assert.strictEqual(lines.length, visits.length)
  return accounts
}

const NO_ADDRESS = ""

/** Asserts that of every transfer that is done, client, proxy and backend have counted the same bytes. */
export const assertBytes = Effect.fnUntraced(function* (accounts: ReadonlyArray<Account>, backend: TransferBackend) {
  for (const { visit, line } of accounts) {
    if (visit.transfer === undefined) continue
    const sent = uploadOf(visit.transfer).length
    assert.deepStrictEqual(yield* backend.received(visit.transfer.id), { bytes: sent, exact: true })
    assert.strictEqual(line.from_client, sent)
    assert.strictEqual(line.from_backend, visit.transfer.downloadBytes)
  }
})
