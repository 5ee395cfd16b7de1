/** Plays the backends, each by its kind, and keeps what comes to them and what they send. */
import { Effect, Result } from "effect"
import type { ConnectionReset } from "../../net/Connection.ts"
import { parseBackendAddress } from "../../snapshot/Endpoint.ts"
import { pattern } from "../Bytes.ts"
import { hostname } from "./Parsed.ts"
import { type BackendPlan } from "./Site.ts"
import type { BackendVisit, World } from "./World.ts"

/** Until the scope closes. */
export const runBackend = Effect.fnUntraced(function* (world: World, plan: BackendPlan) {
  const { network } = world
  setReachable(world, plan)
  switch (plan.kind) {
    case "refusing":
      return network.setFate(plan.address, "refused")
    case "unreachable":
      return network.setFate(plan.address, "unreachable")
    case "hanging":
      return network.setFate(plan.address, "silent")
    case "nameless":
    case "unresolving":
      return
    case "echoing":
    case "slow":
    case "stalled":
    case "resetting":
    case "half_closing": {
      const backend = yield* network.listenBackend(plan.address)
      yield* backend.serve((peer) =>
        Effect.suspend(() => {
          const visit: BackendVisit = { backend: plan, peer, received: [], sent: [] }
          world.visits.push(visit)
          return Effect.ignore(behave(visit))
        })
      )
    }
  }
})

/** Its name answers, if it has one; what it answered before is forgotten. */
export const setReachable = ({ network }: World, { address, kind, name }: BackendPlan): void => {
  const { host } = Result.getOrThrow(parseBackendAddress(name))
  if (typeof host !== "string" || kind === "nameless") return
  network.setName(
    hostname(host),
    kind === "unresolving" ? { _tag: "Silence" } : { _tag: "Found", ips: [address.ip], afterMs: 3 }
  )
}

const behave = (visit: BackendVisit): Effect.Effect<void, ConnectionReset> => {
  switch (visit.backend.kind) {
    case "echoing":
      return echo(visit)
    case "slow":
      return answerSlowly(visit)
    case "resetting":
      return readAndReset(visit)
    case "half_closing":
      return answerFirst(visit)
    case "stalled":
    case "refusing":
    case "unreachable":
    case "hanging":
    case "nameless":
    case "unresolving":
      return visit.peer.resetByAny
  }
}

const echo = Effect.fnUntraced(function* (visit: BackendVisit) {
  for (let bytes = yield* read(visit, Infinity); bytes.length > 0; bytes = yield* read(visit, Infinity)) {
    yield* send(visit, bytes)
  }
  yield* visit.peer.finish
})

/** Takes its time to read, and answers when all has come. */
const answerSlowly = Effect.fnUntraced(function* (visit: BackendVisit) {
  for (let bytes = yield* read(visit, SLOW_BYTES); bytes.length > 0; bytes = yield* read(visit, SLOW_BYTES)) {
    yield* Effect.sleep(SLOW_MS)
  }
  yield* send(visit, answerOf(visit))
  yield* visit.peer.finish
})

const readAndReset = Effect.fnUntraced(function* (visit: BackendVisit) {
  let left = visit.backend.bytes
  for (let bytes = yield* read(visit, left); bytes.length > 0 && left > 0; bytes = yield* read(visit, left)) {
    left -= bytes.length
  }
  visit.peer.reset()
})

/** Answers and finishes before it has read, and then reads to the end. */
const answerFirst = Effect.fnUntraced(function* (visit: BackendVisit) {
  yield* send(visit, answerOf(visit))
  yield* visit.peer.finish
  while ((yield* read(visit, Infinity)).length > 0);
  yield* visit.peer.readAll
})

const SLOW_BYTES = 200
const SLOW_MS = 7

const answerOf = ({ backend }: BackendVisit): Uint8Array => pattern(backend.bytes, backend.address.port)

const read = (visit: BackendVisit, most: number): Effect.Effect<Uint8Array> =>
  Effect.tap(visit.peer.readSome(most), (bytes) => Effect.sync(() => void visit.received.push(bytes)))

const send = (visit: BackendVisit, bytes: Uint8Array): Effect.Effect<void, ConnectionReset> =>
  Effect.suspend(() => {
    visit.sent.push(bytes)
    return visit.peer.write(bytes)
  })
