import { assert, describe, it } from "@effect/vitest"
import { status } from "@grpc/grpc-js"
import { Effect } from "effect"
import { callUnary, connectClient, methodOf, nextOf, openStream } from "./StockClient.ts"
import { startStub } from "./Stub.ts"

const check = methodOf("grpc.health.v1.Health", "Check")
const watch = methodOf("grpc.health.v1.Health", "Watch")
const list = methodOf("grpc.health.v1.Health", "List")

const SERVICES = ["", "mc_proxy.v1.ProxyAdminService"]

describe("health", () => {
  it.live("is serving until the proxy drains, as a whole and by name", () =>
    Effect.gen(function* () {
      const { drain, socket } = yield* startStub({})
      const client = yield* connectClient(socket)
      for (const expected of ["SERVING", "NOT_SERVING"]) {
        for (const service of SERVICES) {
          assert.deepStrictEqual(yield* callUnary(client, check, { service }), { status: expected })
        }
        const statuses = Object.fromEntries(SERVICES.map((service) => [service, { status: expected }]))
        assert.deepStrictEqual(yield* callUnary(client, list, {}), { statuses })
        yield* drain.begin
      }
    })
  )

  it.live("tells a watcher at once, and keeps his call", () =>
    Effect.gen(function* () {
      const { drain, socket } = yield* startStub({})
      const client = yield* connectClient(socket)
      const early = SERVICES.map((service) => openStream(client, watch, { service }))
      for (const stream of early) assert.deepStrictEqual(yield* nextOf(stream), { status: "SERVING" })
      yield* drain.begin
      for (const stream of early) assert.deepStrictEqual(yield* nextOf(stream), { status: "NOT_SERVING" })
      const late = openStream(client, watch, {}, { deadline: Date.now() + 200 })
      assert.deepStrictEqual(yield* nextOf(late), { status: "NOT_SERVING" })
      assert.strictEqual((yield* Effect.flip(nextOf(late))).code, status.DEADLINE_EXCEEDED)
    })
  )

  it.live("knows no other service: not found when asked, unknown when watched", () =>
    Effect.gen(function* () {
      const { drain, socket } = yield* startStub({})
      const client = yield* connectClient(socket)
      const refused = yield* Effect.flip(callUnary(client, check, { service: "a.B" }))
      assert.deepStrictEqual([refused.code, refused.details], [status.NOT_FOUND, `there is no service "a.B"`])
      const stream = openStream(client, watch, { service: "a.B" }, { deadline: Date.now() + 200 })
      assert.deepStrictEqual(yield* nextOf(stream), { status: "SERVICE_UNKNOWN" })
      yield* drain.begin
      assert.strictEqual((yield* Effect.flip(nextOf(stream))).code, status.DEADLINE_EXCEEDED)
    })
  )
})
