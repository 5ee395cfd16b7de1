import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { Route } from "../../src/admin/AdminSchema.ts"
import { startAdmin } from "../admin/StubAdmin.ts"
import { ctl } from "./Ctl.ts"

describe("explain", () => {
  it.live("says the outcome, why, and each stage", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startAdmin({
        explainConnection: ({ clientIp }) =>
          Effect.succeed(
            clientIp === "192.0.2.1"
              ? {
                  outcome: "blocked_cidr",
                  country: "SE",
                  matchedRule: { type: "cidr", value: "192.0.2.0/24" } as const,
                  stages: [
                    { stage: "identify", verdict: "unknown", detail: "a PROXY header has to come" },
                    { stage: "admit", verdict: "refuse", detail: "cidr 192.0.2.0/24" }
                  ]
                }
              : {
                  outcome: "routed",
                  country: "",
                  route: Route.make({ hostname: "a.test", backend: "127.0.0.1:1" }),
                  stages: [{ stage: "relay", verdict: "pass", detail: "" }]
                }
          )
      })
      const blocked = yield* ctl(socket, ["explain", ":443", "192.0.2.1", "A.test"])
      assert.strictEqual(
        blocked.stdout,
        "outcome: blocked_cidr\ncountry: SE\nrule: cidr 192.0.2.0/24\n" +
          "STAGE     VERDICT  DETAIL\n" +
          "identify  unknown  a PROXY header has to come\n" +
          "admit     refuse   cidr 192.0.2.0/24\n"
      )
      const routed = yield* ctl(socket, ["explain", ":443", "192.0.2.2", "a.test"])
      assert.strictEqual(
        routed.stdout,
        "outcome: routed\nroute: a.test to 127.0.0.1:1, l4\nSTAGE  VERDICT  DETAIL\nrelay  pass     -\n"
      )
      assert.deepStrictEqual(asked[0]?.request, { listenerAddr: ":443", clientIp: "192.0.2.1", hostname: "a.test" })
    })
  )
})

describe("reload", () => {
  it.live("names what was read again, and fails for what was not", () =>
    Effect.gen(function* () {
      const reloaded = ["/etc/geo.mmdb", "/etc/a.pem"]
      const good = yield* startAdmin({ reload: () => Effect.succeed({ reloaded, failed: [] }) })
      const lines = "reloaded /etc/geo.mmdb\nreloaded /etc/a.pem\n"
      assert.deepStrictEqual(yield* ctl(good.socket, ["reload"]), { stdout: lines, stderr: "", failure: undefined })
      const failed = [{ path: "/etc/b.pem", reason: "is no certificate" }]
      const bad = yield* startAdmin({ reload: () => Effect.succeed({ reloaded, failed }) })
      const told = yield* ctl(bad.socket, ["reload"])
      assert.deepStrictEqual(told, {
        stdout: lines,
        stderr: "",
        failure: "kept as they were: /etc/b.pem: is no certificate"
      })
      const none = yield* startAdmin({ reload: () => Effect.succeed({ reloaded: [], failed: [] }) })
      assert.match((yield* ctl(none.socket, ["reload"])).stdout, /^nothing to reload/)
    })
  )
})

describe("snapshot", () => {
  it.live("names an absolute path, and tells it with the size", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startAdmin({ snapshot: () => Effect.succeed({ bytes: 40_960 }) })
      const given = yield* ctl(socket, ["snapshot", "copies/a.db"])
      assert.strictEqual(given.stdout, `${join(process.cwd(), "copies", "a.db")}: 40 KiB\n`)
      const chosen = yield* ctl(socket, ["snapshot", "--json"])
      assert.deepStrictEqual(JSON.parse(chosen.stdout), { bytes: "40960" })
      const { path } = asked[1]?.request as { readonly path: string }
      assert.match(path.slice(process.cwd().length), /^\/mc-proxy-\d{8}T\d{6}Z\.db$/)
    })
  )
})
