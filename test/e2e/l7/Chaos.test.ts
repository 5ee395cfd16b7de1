import { assert, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { randomInt } from "node:crypto"
import { drawFrom, type Draw } from "../../fuzz/Mutator.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { METRICS, startProxyIn, type Proxy } from "../harness/Proxy.ts"
import { splitAddress } from "../harness/Wire.ts"
import { settledDescriptorsOf } from "../load/ProcessState.ts"
import { ask, CLIENTS, l7Route } from "./Combined.ts"
import { startHttp1Backend, startHttp2Backend } from "./HttpBackend.ts"
import { assertIdle } from "./Leftovers.ts"
import { startOddBackend } from "./OddBackend.ts"
import { visit } from "./OddClient.ts"

const DURATION_MS = 6_000
const AT_ONCE = 50

const ODD = ["odd-h1.test", "odd-h2.test"]
const GOOD = ["good-h1.test", "good-h2.test"]

/** Asks good backends until `until`, on connections of its own and some that it keeps; gives how often. */
const askUntil = Effect.fnUntraced(function* (proxy: Proxy, until: number) {
  const at = splitAddress(proxy.address)
  const askOf = Effect.fnUntraced(function* (name: string, connect: (typeof CLIENTS)[number]) {
    let asked = 0
    while ((yield* Clock.currentTimeMillis) < until) {
      const client = yield* connect(at, name)
      for (let i = 0; i < 20; i++) {
        const path = `/good/${asked++}`
        const { body, isWhole, status } = yield* ask(client, { path })
        assert.deepStrictEqual([status, body.toString(), isWhole], [200, path, true], `${client.version} to ${name}`)
      }
    }
    return asked
  }, Effect.scoped)
  const pairs = GOOD.flatMap((name) => CLIENTS.map((connect) => askOf(name, connect)))
  const counts = yield* Effect.all(pairs, { concurrency: "unbounded" })
  return counts.reduce((sum, count) => sum + count, 0)
})

/** The proxy before two odd backends and two good ones. */
const start = Effect.fnUntraced(function* (draw: Draw) {
  const backends = [
    { address: yield* startOddBackend("http/1.1", draw), protocol: "http/1.1" },
    { address: yield* startOddBackend("h2", draw), protocol: "h2" },
    yield* startHttp1Backend(),
    yield* startHttp2Backend()
  ]
  const folder = yield* temporaryFolder
  const routes = yield* Effect.forEach(
    [...ODD, ...GOOD],
    Effect.fnUntraced(function* (name, i) {
      const { address, protocol } = backends[i]!
      return { ...(yield* l7Route(folder, name, address)), backend_protocol: protocol }
    })
  )
  // Some come to their end within the test.
  const proxy = {
    connect_timeout: "1s",
    header_timeout: "2s",
    response_timeout: "2s",
    idle_timeout: "3s",
    half_close_timeout: "2s"
  }
  return yield* startProxyIn(folder, { listeners: [{ routes }], metrics: METRICS, proxy })
})

/** Odd clients, so many at a time, until `until`; gives how many. */
const visitUntil = Effect.fnUntraced(function* (proxy: Proxy, draw: Draw, until: number) {
  const { port } = splitAddress(proxy.address)
  let visits = 0
  const visitor = Effect.gen(function* () {
    while ((yield* Clock.currentTimeMillis) < until) {
      const name = draw(8) === 0 ? GOOD[draw(GOOD.length)]! : ODD[draw(ODD.length)]!
      visits++
      yield* visit({ port, name, seed: draw(2 ** 31) })
    }
  })
  yield* Effect.replicateEffect(visitor, AT_ONCE, { concurrency: AT_ONCE, discard: true })
  return visits
})

it.live(
  "serves good clients well while odd clients and odd backends do what comes to them, and has nothing left of them",
  () => {
    const seed = Number(process.env["CHAOS_SEED"] ?? randomInt(2 ** 31))
    return Effect.gen(function* () {
      const proxy = yield* start(drawFrom(seed + 1))
      const before = yield* settledDescriptorsOf(proxy.program.pid)
      const until = (yield* Clock.currentTimeMillis) + DURATION_MS
      const clients = [askUntil(proxy, until), visitUntil(proxy, drawFrom(seed), until)] as const
      const [asked, visits] = yield* Effect.all(clients, { concurrency: 2 })

      // Idle connections to backends may be there.
      yield* assertIdle(proxy, before + AT_ONCE)
      assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
      console.info(`${visits} odd clients, ${asked} good requests`)
      const errors = proxy.logLines.filter(({ level }) => level === "error")
      assert.deepStrictEqual(errors, [])
      const outcomes = proxy.accessLines.map(({ outcome }) => outcome)
      assert.notInclude(outcomes, "internal")
      assert.strictEqual(new Set(proxy.accessLines.map(({ id }) => id)).size, outcomes.length)
      const good = proxy.requestLines.filter(({ path, status }) => path.startsWith("/good/") && status === 200)
      assert.lengthOf(good, asked)
      // It was chaos: some were answered, some refused, some failed, and some left or broke off.
      const statuses = new Set(proxy.requestLines.map(({ status }) => status))
      assert.includeMembers([...statuses], [200, 400, 421, 502, null])
    }).pipe(Effect.onError(() => Effect.sync(() => console.error(`CHAOS_SEED=${seed} has the same clients again`))))
  },
  60_000
)
