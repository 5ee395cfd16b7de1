import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Socket } from "node:net"
import { hello } from "../harness/Hello.ts"
import { METRICS, startProxy } from "../harness/Proxy.ts"
import { scrape } from "../harness/Scrape.ts"
import { connect } from "../harness/Wire.ts"
import { visit } from "./MixedLoad.ts"
import { awaitDescriptors, cpuMsOf, settledDescriptorsOf } from "./ProcessState.ts"
import { startTcpServer } from "./TcpServer.ts"
import { startTransferBackend, TRANSFER_NAME } from "./Transfer.ts"

const OPEN_FILES = 512
const CLIENTS = 500

/** Two descriptors each: half of what the process may have. */
const SERVED_MIN = OPEN_FILES / 4

/** In a second: far more than a process needs that has nothing to do, and a tenth of what one needs that spins. */
const IDLE_CPU_MS_MAX = 100

const NAME = "held.test"

it.live("with 512 descriptors for 500 clients at once resets the excess, serves the others, and recovers", () =>
  Effect.gen(function* () {
    const backend = yield* startHoldingBackend
    const transfers = yield* startTransferBackend
    const routes = [
      { hostname: NAME, backend: backend.address },
      { hostname: TRANSFER_NAME, backend: transfers.address }
    ]
    const proxy = yield* startProxy({ listeners: [{ routes }], metrics: METRICS }, { nofile: OPEN_FILES })
    const { pid } = proxy.program
    const [warmUp] = yield* visit(proxy.address, "finishesFirst", 0)
    yield* proxy.accessOf(warmUp!)
    const before = yield* settledDescriptorsOf(pid)

    yield* Effect.gen(function* () {
      const clients = yield* Effect.forEach(Array.from({ length: CLIENTS }), () => connect(proxy.address), TOGETHER)
      yield* Effect.forEach(clients, (client) => client.send(hello(NAME)), TOGETHER)
      yield* Effect.forEach(clients, (client) => Effect.race(client.received(1), client.ended), TOGETHER)
      const served = clients.filter(({ length }) => length === 1)
      const refused = clients.filter(({ ending, length }) => ending === "reset" && length === 0)
      assert.strictEqual(served.length + refused.length, CLIENTS)
      assert.isAtLeast(served.length, SERVED_MIN)
      for (const client of refused) assert.strictEqual((yield* proxy.accessOf(client)).outcome, "descriptors")

      const page = yield* scrape(proxy)
      assert.strictEqual(
        page.get(`mcproxy_connections_closed_total{listener="127.0.0.1:0",outcome="descriptors"}`),
        refused.length
      )
      assert.isBelow(page.get("mcproxy_sockets_max") - page.get("mcproxy_sockets_open"), 2)

      const cpuMs = cpuMsOf(pid)
      // Nothing is waited for: what spins does so all the time.
      yield* Effect.sleep("1 second")
      assert.isAtMost(cpuMsOf(pid) - cpuMs, IDLE_CPU_MS_MAX)

      backend.letGo()
      for (const client of served) {
        assert.strictEqual(yield* client.ended, "fin")
        assert.strictEqual(client.bytes.toString(), "!?")
        client.finish()
      }
      for (const client of served) assert.strictEqual((yield* proxy.accessOf(client)).outcome, "done")
    }).pipe(Effect.scoped)

    yield* awaitDescriptors(pid, before)
    yield* visit(proxy.address, "finishesFirst", 1)
    assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
    assert.strictEqual(proxy.accessLines.length, CLIENTS + 2)
  })
)

const TOGETHER = { concurrency: "unbounded" } as const

/** Greets each client with a byte, and holds it until told to let go of all, with another. */
const startHoldingBackend = Effect.gen(function* () {
  const held: Array<Socket> = []
  const address = yield* startTcpServer((socket) => {
    held.push(socket)
    socket.resume()
    socket.write("!")
  })
  const letGo = () => {
    for (const socket of held) socket.end("?")
  }
  return { address, letGo }
})
