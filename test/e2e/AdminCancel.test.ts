/**
 * Callers that go away at random moments: by cancelling, by a deadline, or by dropping their connection. What they
 * asked for is done as a whole or not at all, on every side alike, and nothing of them stays.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Client, status } from "@grpc/grpc-js"
import { Effect, Random } from "effect"
import { connect as connectSocket } from "node:net"
import { adminMethod, callUnary, connectClient } from "../admin/grpc/StockClient.ts"
import { type Ask, grpcAdmin } from "./harness/Admin.ts"
import {
  assertDecides,
  assertSameItems,
  changed,
  type Items,
  type ItemsChange,
  itemsOfApi,
  itemsOfDatabase,
  listenerKey,
  routeKey,
  ruleKey
} from "./harness/Items.ts"
import type { Mutation } from "./harness/Mutator.ts"
import { ADMIN, type Proxy, startProxy } from "./harness/Proxy.ts"
import { within } from "./harness/Watch.ts"
import { awaitDescriptors, settledDescriptorsOf } from "./load/ProcessState.ts"

const BASE = "127.0.0.1:0"

const MUTATIONS = 400

/** Fewer than connections may be open at once. */
const CALLERS = 24

/** Longer than most mutations take, so that some are answered. */
const PATIENCE_MS_MAX = 150

const ruleFields = (type: "ip" | "cidr", value: string) => ({
  type: `FIREWALL_RULE_TYPE_${type.toUpperCase()}`,
  value
})

/** Each on names of its own; of each kind as many. */
const additions: ReadonlyArray<Mutation> = Array.from({ length: MUTATIONS }, (_, i): Mutation => {
  const two = `${i >> 8}.${i & 255}`
  switch (i % 4) {
    case 0: {
      const address = `127.100.${two}`
      return {
        method: "AddFirewallRule",
        request: { rule: ruleFields("ip", address) },
        change: new Map([[ruleKey("ip", address), ""]])
      }
    }
    case 1: {
      const networks = [0, 64, 128].map((host) => `10.${two}.${host}/26`)
      return {
        method: "ApplyFirewallRules",
        request: { add: networks.map((network) => ruleFields("cidr", network)) },
        change: new Map(networks.map((network) => [ruleKey("cidr", network), ""]))
      }
    }
    case 2:
      return {
        method: "AddRoute",
        request: { listener_addr: BASE, route: { hostname: `${i}.test`, backend: "127.0.0.1:1" } },
        change: new Map([[routeKey(BASE, `${i}.test`), "127.0.0.1:1"]])
      }
    default: {
      const addr = `127.3.${two}:0`
      return {
        method: "AddListener",
        request: { listener: { addr } },
        change: new Map([[listenerKey(addr), "0"]])
      }
    }
  }
})

/** What takes back an addition. */
const removalOf = ({ change, method, request }: Mutation): Mutation => {
  const gone = new Map([...change.keys()].map((key) => [key, undefined]))
  switch (method) {
    case "AddFirewallRule":
      return { method: "RemoveFirewallRule", request, change: gone }
    case "ApplyFirewallRules":
      return { method, request: { remove: request["add"] }, change: gone }
    case "AddRoute": {
      const { hostname } = request["route"] as { readonly hostname: string }
      return { method: "RemoveRoute", request: { listener_addr: BASE, hostname }, change: gone }
    }
    default:
      return { method: "RemoveListener", request: request["listener"] as Mutation["request"], change: gone }
  }
}

/** What a caller knows of its mutation when it has gone: nothing, where it has not waited for the answer. */
type Known = "done" | "not done" | "unknown"

/** Asks by gRPC, and goes after so long: because its deadline passes, or of itself. */
const askAndGo = (client: Client, { method, request }: Mutation, patienceMs: number, byDeadline: boolean) => {
  const options = byDeadline ? { deadline: Date.now() + patienceMs } : {}
  const call = callUnary(client, adminMethod(method), request, options).pipe(
    Effect.as<Known>("done"),
    Effect.catchIf(
      ({ code }) => code === status.DEADLINE_EXCEEDED,
      () => Effect.succeed<Known>("unknown")
    ),
    Effect.orDie
  )
  return byDeadline
    ? call
    : Effect.timeoutOrElse(call, { duration: patienceMs, orElse: () => Effect.succeed<Known>("unknown") })
}

/** Asks with JSON on a connection of its own, and drops that after so long; maybe before it has sent the whole. */
const askAndDrop = ({ adminSocket }: Proxy, { method, request }: Mutation, patienceMs: number, whole: boolean) =>
  Effect.callback<Known>((resume) => {
    const body = JSON.stringify(request)
    const head = [
      `POST /mc_proxy.v1.ProxyAdminService/${method} HTTP/1.1`,
      "host: localhost",
      "content-type: application/json",
      `content-length: ${body.length}`
    ]
    const bytes = Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`)
    const socket = connectSocket(adminSocket)
    let answer = ""
    socket.write(whole ? bytes : bytes.subarray(0, bytes.length - 1))
    socket.setEncoding("latin1").on("data", (text: string) => (answer += text))
    const drop = setTimeout(() => socket.destroy(), patienceMs)
    socket.once("error", () => socket.destroy())
    socket.once("close", () => {
      clearTimeout(drop)
      if (answer === "") resume(Effect.succeed(whole ? "unknown" : "not done"))
      else if (answer.startsWith("HTTP/1.1 200")) resume(Effect.succeed("done"))
      else resume(Effect.die(new Error(`a mutation was refused: ${answer}`)))
    })
  }).pipe(within("a connection to close"))

interface Attempt {
  readonly change: ItemsChange
  readonly known: Known
}

/** Asks for all of them, and waits for none. */
const attempt = Effect.fnUntraced(function* (proxy: Proxy, mutations: ReadonlyArray<Mutation>) {
  const client = yield* connectClient(proxy.adminSocket)
  return yield* Effect.forEach(
    mutations,
    Effect.fnUntraced(function* (mutation) {
      const patienceMs = yield* Random.nextIntBetween(0, PATIENCE_MS_MAX)
      const [isGrpc, other] = [yield* Random.nextBoolean, yield* Random.nextBoolean]
      const known = yield* isGrpc
        ? askAndGo(client, mutation, patienceMs, other)
        : askAndDrop(proxy, mutation, patienceMs, other)
      return { change: mutation.change, known } satisfies Attempt
    }),
    { concurrency: CALLERS }
  )
}, Effect.scoped)

/** Mutations are settled in their order: when this one is answered, so are those before it. It is a revision, of a state that is the same. */
const awaitEarlier = (ask: Ask) =>
  Effect.orDie(ask("SetListenerMaxConnections", { listener_addr: BASE, max_connections: 0 }))

/** What is there on every side alike, when nothing is under way any more. */
const settled: (proxy: Proxy, ask: Ask) => Effect.Effect<Items> = Effect.fnUntraced(function* (proxy, ask) {
  yield* awaitEarlier(ask)
  const { revision: before } = yield* Effect.orDie(ask("GetStatus"))
  const checked = yield* Effect.exit(checkAlike(proxy, ask))
  yield* awaitEarlier(ask)
  const { revision: after } = yield* Effect.orDie(ask("GetStatus"))
  // What somebody has asked for who was gone already may come late, and between two questions.
  return Number(after) === Number(before) + 1 ? yield* checked : yield* settled(proxy, ask)
})

const checkAlike = Effect.fnUntraced(function* (proxy: Proxy, ask: Ask) {
  const items = yield* itemsOfApi(ask)
  assertSameItems(itemsOfDatabase(proxy), items, "the database differs from the API")
  const keys = additions.flatMap(({ change }) => [...change.keys()])
  yield* assertDecides(ask, BASE, items, keys, "127.99.0.1")
  return items
}, Effect.orDie)

/** Each attempt on top of `before` is in `after` as a whole or not at all, and as its caller knows; and nothing else. */
const assertWhole = (before: Items, attempts: ReadonlyArray<Attempt>, after: Items) => {
  let expected = before
  for (const { change, known } of attempts) {
    const done = [...change].every(([key, value]) => after.get(key) === value)
    if (known !== "unknown") assert.strictEqual(done, known === "done", [...change.keys()].join())
    if (done) expected = changed(expected, change)
  }
  assertSameItems(after, expected, "something is there in part, or was not asked for")
}

describe("callers that go away", () => {
  const seed = String(Date.now())

  it.live(
    `leave nothing half done, and nothing of themselves behind (seed ${seed})`,
    () =>
      Effect.gen(function* () {
        const proxy = yield* startProxy({ listeners: [{}], grpc: ADMIN })
        const ask = yield* grpcAdmin(proxy)
        const empty = yield* settled(proxy, ask)
        const descriptors = yield* settledDescriptorsOf(proxy.program.pid)

        const added = yield* attempt(proxy, additions)
        const full = yield* within("quiet")(settled(proxy, ask))
        assertWhole(empty, added, full)

        const there = additions.filter(({ change }) => [...change.keys()].every((key) => full.has(key)))
        const removed = yield* attempt(proxy, there.map(removalOf))
        const rest = yield* within("quiet")(settled(proxy, ask))
        assertWhole(full, removed, rest)

        const knowledge = new Set([...added, ...removed].map(({ known }) => known))
        assert.deepStrictEqual(knowledge, new Set(["done", "not done", "unknown"]), "chance has left a case out")

        const listeners = [...rest.keys()].filter((key) => key.startsWith("listener")).length - 1
        yield* awaitDescriptors(proxy.program.pid, descriptors + listeners)
        yield* connectClient(proxy.adminSocket)
        assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
      }).pipe(Effect.scoped, Random.withSeed(seed)),
    120_000
  )
})
