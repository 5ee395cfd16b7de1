/**
 * The proxy is killed at random moments while callers change it: on restart, all that was answered is there, what was
 * not is there as a whole or not at all, and nothing else is.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { type Ask, grpcAdmin } from "./harness/Admin.ts"
import { type Backend, startBackend } from "./harness/Backend.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { hello } from "./harness/Hello.ts"
import {
  assertDecides,
  assertSameItems,
  type Items,
  itemsOfApi,
  itemsOfDatabase,
  listenerKey
} from "./harness/Items.ts"
import { Mutator } from "./harness/Mutator.ts"
import { ADMIN, type Proxy, type ProxyConfig, startProxyIn } from "./harness/Proxy.ts"
import { Watch } from "./harness/Watch.ts"
import { connect } from "./harness/Wire.ts"

const BASE = "127.0.0.1:0"
const CONFIG: ProxyConfig = { listeners: [{}], grpc: ADMIN }

const ROUNDS = 6
const CALLERS = 8

/** Of all callers, in a round, before the moment of the kill is drawn. */
const ANSWERS_MAX = 900

/** Longer than a commit takes, so that the kill meets every part of one. */
const KILL_DELAY_MS_MAX = 12

/** Longer than the commit that it waits for. */
const LOCK_TIMEOUT_MS = 10_000

/** Real connections a check, of each kind. */
const SAMPLE = 6

/** They are the same on all sides, and what the callers know. Gives them. */
const check = Effect.fnUntraced(function* (proxy: Proxy, ask: Ask, callers: ReadonlyArray<Mutator>) {
  const items = yield* itemsOfApi(ask)
  assertSameItems(itemsOfDatabase(proxy), items, "the database differs from the API")
  const expected = new Map([[listenerKey(BASE), "0"]])
  for (const caller of callers) {
    caller.readBack(items)
    for (const [key, value] of caller.items) expected.set(key, value)
  }
  assertSameItems(items, expected, "what is there differs from what was answered")
  const keys = callers.flatMap((caller) => caller.keys)
  yield* assertDecides(ask, BASE, items, keys, "127.99.0.1")
  return { items, keys }
})

/** Clients meet what `items` says. The proxy has just been started, so each of its listeners was bound once. */
const meet = Effect.fnUntraced(function* (
  proxy: Proxy,
  { items, keys }: { readonly items: Items; readonly keys: ReadonlyArray<string> },
  backends: ReadonlyArray<Backend>
) {
  const shuffled = yield* Random.shuffle(keys)
  const ofKind = (kind: string) => shuffled.filter((key) => key.startsWith(kind)).slice(0, SAMPLE)
  for (const key of ofKind("rule ip")) {
    const client = yield* connect(proxy.addressOf(BASE), { from: key.slice("rule ip ".length) })
    if (!items.has(key)) yield* client.send(hello("unknown.test"))
    const { outcome } = yield* proxy.accessOf(client)
    assert.strictEqual(outcome, items.has(key) ? "blocked_ip" : "no_route", key)
  }
  for (const key of ofKind("route")) {
    const [, addr = "", hostname = ""] = key.split(" ")
    if (!items.has(listenerKey(addr))) continue
    const client = yield* connect(proxy.addressOf(addr), { from: "127.99.0.1" })
    yield* client.send(hello(hostname))
    const backend = backends.find(({ address }) => address === items.get(key))
    if (backend === undefined) {
      assert.strictEqual((yield* proxy.accessOf(client)).outcome, "no_route", key)
    } else {
      const inner = yield* backend.next
      yield* inner.received(hello(hostname).length)
      client.finish()
      inner.finish()
      const { hostname: reached, outcome } = yield* proxy.accessOf(client)
      assert.deepStrictEqual({ outcome, reached }, { outcome: "done", reached: hostname })
    }
  }
})

/** Another program has the database, so that a commit that was asked for is not done when the proxy is killed. */
const lock = ({ folder }: Proxy) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const database = new DatabaseSync(join(folder, "mc-proxy.db"), { timeout: LOCK_TIMEOUT_MS })
      database.exec("BEGIN IMMEDIATE")
      return database
    }),
    (database) => Effect.sync(() => database.close())
  )

/** All callers mutate until the proxy is killed, at a moment that chance decides. */
const mutateUntilKilled = Effect.fnUntraced(function* (proxy: Proxy, callers: ReadonlyArray<Mutator>) {
  const watch = new Watch()
  let answered = 0
  let killed = false
  const mutate = Effect.fnUntraced(function* (caller: Mutator) {
    const ask = yield* grpcAdmin(proxy)
    while (!killed) {
      yield* caller.mutate(ask)
      answered++
      watch.notify()
    }
  }, Effect.scoped)
  // Whoever is refused by a living proxy has found a defect.
  const untilKilled = (caller: Mutator) =>
    Effect.catch(mutate(caller), ({ message, status }) =>
      killed ? Effect.void : Effect.die(new Error(`a mutation was refused: ${status}: ${message}`))
    )
  const kill = Effect.gen(function* () {
    const answers = yield* Random.nextIntBetween(0, ANSWERS_MAX)
    yield* watch.until(`${answers} answers`, () => (answered >= answers ? true : undefined))
    if (yield* Random.nextBoolean) yield* lock(proxy)
    yield* Effect.sleep(yield* Random.nextBetween(0, KILL_DELAY_MS_MAX))
    killed = true
    yield* proxy.stop("SIGKILL")
  }).pipe(Effect.scoped)
  yield* Effect.all([kill, ...callers.map(untilKilled)], { concurrency: "unbounded", discard: true })
})

describe("a proxy that is killed while thousands of mutations come", () => {
  const seed = String(Date.now())

  it.live(
    `has on restart what was answered, and what it decides by is what is in the database (seed ${seed})`,
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const backends = [yield* startBackend(), yield* startBackend()]
        const addresses = backends.map(({ address }) => address)
        const callers = Array.from({ length: CALLERS }, (_, i) => new Mutator(i, BASE, addresses))
        const startAndCheck = Effect.gen(function* () {
          const proxy = yield* startProxyIn(folder, CONFIG)
          const checked = yield* check(proxy, yield* grpcAdmin(proxy), callers)
          yield* meet(proxy, checked, backends)
          return proxy
        })
        for (let round = 0; round < ROUNDS; round++) {
          yield* Effect.scoped(Effect.flatMap(startAndCheck, (proxy) => mutateUntilKilled(proxy, callers)))
        }
        const last = yield* startAndCheck
        assert.deepStrictEqual(yield* last.stop(), { code: 0, signal: null })
      }).pipe(Effect.scoped, Random.withSeed(seed)),
    120_000
  )
})
