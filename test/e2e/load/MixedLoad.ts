/**
 * Clients of every kind that the proxy meets at once: those it serves, those it refuses, and those that go away.
 *
 * Each visit is one connection, and its kind says how the proxy must end it. What is random in a visit comes from
 * Effect's `Random`, so that a seed gives the same visits again, if not the same interleaving.
 */
import { assert } from "@effect/vitest"
import { Effect, Random, type Scope } from "effect"
import type { Outcome } from "../../../src/pipeline/Outcome.ts"
import { refusingAddress } from "../harness/Backend.ts"
import { startFullListener } from "../harness/FullListener.ts"
import { hello } from "../harness/Hello.ts"
import { connect, type Wire } from "../harness/Wire.ts"
import {
  downloadOf,
  startTransferBackend,
  type Transfer,
  TRANSFER_BYTES_MAX,
  TRANSFER_NAME,
  type TransferBackend,
  uploadOf
} from "./Transfer.ts"

/** What a client does, and the outcome of its connection. */
export const OUTCOME_OF = {
  finishesFirst: "done",
  finishesLast: "done",
  isReset: "reset",
  resetsSomewhere: "reset",
  vanishesWhileDialling: "reset",
  leavesInItsHello: "client_closed",
  speaksNoTls: "not_tls",
  asksForAnUnknownName: "no_route",
  meetsADeadBackend: "dial_failed",
  isBlocked: "blocked_cidr"
} as const satisfies Record<string, Outcome>

export type Kind = keyof typeof OUTCOME_OF

export const KINDS = Object.keys(OUTCOME_OF) as ReadonlyArray<Kind>

/** The backends that the clients ask for, and where. */
export interface World {
  readonly backend: TransferBackend
  readonly routes: ReadonlyArray<{ readonly hostname: string; readonly backend: string }>
}

export const startWorld: Effect.Effect<World, never, Scope.Scope> = Effect.gen(function* () {
  const backend = yield* startTransferBackend
  return {
    backend,
    routes: [
      { hostname: TRANSFER_NAME, backend: backend.address },
      { hostname: DEAD_NAME, backend: yield* refusingAddress },
      { hostname: SILENT_NAME, backend: yield* startFullListener }
    ]
  }
})

/** Where the clients come from that are to be blocked. */
export const BLOCKED_NETWORK = "127.128.0.0/9"

/** Each visit comes from an address of its own, for ports are used again. */
const addressOf = (kind: Kind, id: number): string =>
  `127.${(kind === "isBlocked" ? 128 : 64) + (id >> 16)}.${(id >> 8) & 255}.${id & 255}`

/** One client's connection, when it is over. */
export interface Visit {
  readonly kind: Kind
  /** Its end of the connection, `ip:port`. */
  readonly local: string
  /** What it transferred, where it asked for that. */
  readonly transfer?: Transfer | undefined
}

/** Visits the proxy at `address`; gives that visit, or with a witness's two. No other visit may have that `id`. */
export const visit = (address: string, kind: Kind, id: number): Effect.Effect<ReadonlyArray<Visit>> =>
  Effect.gen(function* () {
    const client = yield* connect(address, { from: addressOf(kind, id) })
    if (kind === "vanishesWhileDialling") {
      yield* client.send(hello(SILENT_NAME))
      // Who comes later is answered, so this hello has been read.
      const witness = yield* visit(address, "asksForAnUnknownName", id)
      client.reset()
      return [{ kind, local: client.local }, ...witness]
    }
    return [{ kind, local: client.local, transfer: yield* act(client, kind, id) }]
  }).pipe(Effect.scoped, Effect.orDie)

/** Does what a client of that kind does, and gives what it has transferred. */
const act = Effect.fnUntraced(function* (
  client: Wire,
  kind: Exclude<Kind, "vanishesWhileDialling">,
  id: number
): Effect.fn.Return<Transfer | undefined> {
  switch (kind) {
    case "finishesFirst": {
      const transfer = yield* randomTransfer(id, "fin")
      yield* client.send(uploadOf(transfer))
      client.finish()
      yield* expectDownload(client, transfer)
      return transfer
    }
    case "finishesLast": {
      const transfer = yield* randomTransfer(id, "fin")
      yield* client.send(uploadOf(transfer))
      yield* expectDownload(client, transfer)
      client.finish()
      return transfer
    }
    case "isReset":
      yield* client.send(uploadOf(yield* randomTransfer(id, "reset")))
      yield* client.ended
      return undefined
    case "resetsSomewhere": {
      const upload = uploadOf(yield* randomTransfer(id, "fin"))
      yield* client.send(upload.subarray(0, yield* Random.nextIntBetween(0, upload.length)))
      yield* turns(yield* Random.nextIntBetween(0, TURNS_MAX))
      client.reset()
      return undefined
    }
    case "leavesInItsHello":
      yield* client.send(hello(TRANSFER_NAME).subarray(0, 30))
      client.finish()
      yield* expectReset(client)
      return undefined
    case "speaksNoTls":
      yield* refused(client, Buffer.from("GET / HTTP/1.1\r\n\r\n"))
      return undefined
    case "asksForAnUnknownName":
      yield* refused(client, hello("unknown.test"))
      return undefined
    case "meetsADeadBackend":
      yield* refused(client, hello(DEAD_NAME))
      return undefined
    case "isBlocked":
      yield* expectReset(client)
      return undefined
  }
})

const DEAD_NAME = "dead.test"
const SILENT_NAME = "silent.test"

/** Enough for the proxy to dial and to relay, so that a reset may fall into each of its stages. */
const TURNS_MAX = 20

const turns = (count: number): Effect.Effect<void> =>
  Effect.replicateEffect(
    Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void))),
    count,
    { discard: true }
  )

const randomTransfer = Effect.fnUntraced(function* (id: number, endsBy: Transfer["endsBy"]) {
  return { id, endsBy, uploadBytes: yield* randomLength, downloadBytes: yield* randomLength } satisfies Transfer
})

/** Mostly short, now and then long, and nothing at all at times. */
const randomLength = Effect.map(Random.next, (fraction) => Math.floor(TRANSFER_BYTES_MAX * fraction ** 4))

const expectDownload = Effect.fnUntraced(function* (client: Wire, transfer: Transfer) {
  assert.strictEqual(yield* client.ended, "fin")
  assert.isTrue(client.bytes.equals(downloadOf(transfer)), "the download is byte-exact")
})

const refused = (client: Wire, bytes: Uint8Array): Effect.Effect<void> =>
  Effect.andThen(client.send(bytes), expectReset(client))

const expectReset = Effect.fnUntraced(function* (client: Wire) {
  assert.strictEqual(yield* client.ended, "reset")
  assert.strictEqual(client.length, 0)
})
