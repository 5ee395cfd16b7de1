import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import type { Status } from "../../src/admin/AdminSchema.ts"
import { startAdmin } from "../admin/StubAdmin.ts"
import { ctl } from "./Ctl.ts"

const status: typeof Status.Type = {
  version: "1.2.3",
  startedAt: DateTime.makeUnsafe("2026-01-02T03:04:05Z"),
  uptime: 90_061_500,
  totalConnections: 1234,
  activeConnections: 5,
  listeners: [
    {
      addr: ":443",
      routeCount: 3,
      activeConnections: 5,
      proxyProtocol: false,
      maxConnections: 100,
      trustedProxies: [],
      problems: ["route a.test: no certificate", "route b.test: \u001b[31mred"]
    },
    {
      addr: "[::1]:8443",
      routeCount: 0,
      activeConnections: 0,
      proxyProtocol: true,
      maxConnections: 0,
      trustedProxies: ["192.0.2.0/24"],
      problems: []
    }
  ],
  draining: false,
  revision: 9
}

describe("status", () => {
  it.live("has a line for each listener, with what is wrong there, and nothing that a terminal acts on", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({ getStatus: () => Effect.succeed(status) })
      assert.deepStrictEqual(yield* ctl(socket, ["status"]), {
        stdout:
          "mc-proxy 1.2.3\n" +
          "uptime: 1d 1h\n" +
          "connections: 5 active, 1234 since the start\n" +
          ":443 routes: 3, active: 5 of 100, problems: route a.test: no certificate; route b.test: \\u001b[31mred\n" +
          "[::1]:8443 routes: 0, active: 0\n",
        stderr: "",
        failure: undefined
      })
    })
  )

  it.live("says when the proxy drains", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({ getStatus: () => Effect.succeed({ ...status, draining: true }) })
      assert.match((yield* ctl(socket, ["status"])).stdout, /\ndraining: /)
    })
  )

  it.live("is proto3 JSON with every field for scripts", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({ getStatus: () => Effect.succeed(status) })
      const { stderr, stdout } = yield* ctl(socket, ["status", "--json"])
      assert.strictEqual(stderr, "")
      assert.deepStrictEqual(JSON.parse(stdout), {
        version: "1.2.3",
        startedAt: "2026-01-02T03:04:05.000Z",
        uptime: "90061.500s",
        totalConnections: "1234",
        activeConnections: "5",
        listeners: status.listeners.map((listener) => ({
          ...listener,
          activeConnections: String(listener.activeConnections)
        })),
        draining: false,
        revision: "9"
      })
      assert.notInclude(stdout, "\u001b")
    })
  )
})

describe("health", () => {
  it.live("is what load balancers are told, and a failure when it is not SERVING", () =>
    Effect.gen(function* () {
      const serving = yield* startAdmin({})
      assert.deepStrictEqual(yield* ctl(serving.socket, ["health"]), {
        stdout: "SERVING\n",
        stderr: "",
        failure: undefined
      })
      const draining = yield* startAdmin({}, { status: "NOT_SERVING" })
      const told = yield* ctl(draining.socket, ["health", "--json"])
      assert.deepStrictEqual(JSON.parse(told.stdout), { status: "NOT_SERVING" })
      assert.match(told.failure ?? "", /draining/)
    })
  )
})
