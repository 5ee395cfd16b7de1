import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { Route } from "../../src/admin/AdminSchema.ts"
import { type Answers, startAdmin } from "../admin/StubAdmin.ts"
import { ctl } from "./Ctl.ts"

const PLAIN = Route.make({ hostname: "git.example.net", backend: "127.0.0.1:18443", sendProxyProtocol: true })
const FULL = Route.make({
  hostname: "api.example.net",
  backend: "api.internal:8080",
  mode: "l7",
  tlsCert: "/etc/api.pem",
  tlsKey: "/etc/api.key",
  backendTls: true,
  backendProtocol: "http/1.1",
  backendCa: "/etc/ca.pem",
  backendServerName: "api.internal",
  l7Policies: [{ type: "require_header", value: "x-key" }]
})

/** A proxy with two routes on :443. */
const withRoutes = (answers: Answers = {}) =>
  startAdmin({
    listRoutes: () => Effect.succeed({ listeners: [{ listenerAddr: ":443", routes: [PLAIN, FULL] }] }),
    addRoute: ({ route }) =>
      Effect.succeed({ replaced: [PLAIN, FULL].some(({ hostname }) => hostname === route.hostname), warnings: [] }),
    removeRoute: () => Effect.succeed({}),
    ...answers
  })

const FULL_FLAGS = [
  "--mode=l7",
  "--tls-cert=/etc/api.pem",
  "--tls-key=/etc/api.key",
  "--backend-tls",
  "--backend-protocol=http/1.1",
  "--backend-ca=/etc/ca.pem",
  "--backend-server-name=api.internal"
]

describe("routes", () => {
  it.live("are listed with what is not the default, of one listener or of all", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRoutes()
      const { stdout } = yield* ctl(socket, ["routes", "list"])
      assert.strictEqual(
        stdout,
        "LISTENER  HOSTNAME         BACKEND            MODE  OPTIONS\n" +
          ":443      git.example.net  127.0.0.1:18443    l4    send-proxy-protocol\n" +
          ":443      api.example.net  api.internal:8080  l7    http/1.1, backend-tls, backend-server-name api.internal," +
          " policies: 1, tls-cert /etc/api.pem, backend-ca /etc/ca.pem\n"
      )
      yield* ctl(socket, ["routes", "list", "[::]:443"])
      assert.deepStrictEqual(
        asked.map(({ request }) => request),
        [{ listenerAddr: "" }, { listenerAddr: "[::]:443" }]
      )
    })
  )

  it.live("fit into the terminal, with the options cut first", () =>
    Effect.gen(function* () {
      const { socket } = yield* withRoutes()
      const { stdout } = yield* ctl(socket, ["routes", "list"], { width: 80 })
      const lines = stdout.trimEnd().split("\n")
      assert.isTrue(lines.every((line) => line.length <= 80))
      assert.match(lines[2]!, /^:443 {6}api\.example\.net {2}api\.internal:8080 {2}l7 {4}http\/1\.1.*…$/)
      // A terminal of no known size.
      const uncut = yield* ctl(socket, ["routes", "list"])
      assert.deepStrictEqual(yield* ctl(socket, ["routes", "list"], { width: 0 }), uncut)
    })
  )

  it.live("are JSON in the words of the proto file", () =>
    Effect.gen(function* () {
      const { socket } = yield* withRoutes()
      const { stdout } = yield* ctl(socket, ["routes", "list", "--json"])
      const document = JSON.parse(stdout) as {
        readonly listeners: readonly [{ readonly routes: ReadonlyArray<object> }]
      }
      assert.deepStrictEqual(document.listeners[0].routes[1], {
        ...FULL,
        mode: "ROUTE_MODE_L7",
        backendProtocol: "BACKEND_PROTOCOL_HTTP1",
        l7Policies: [{ type: "L7_POLICY_TYPE_REQUIRE_HEADER", value: "x-key" }]
      })
    })
  )
})

describe("routes add", () => {
  it.live("gives the proxy every option", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRoutes()
      const added = yield* ctl(socket, [
        "routes",
        "add",
        ":443",
        "New.Example.net.",
        "api.internal:8080",
        ...FULL_FLAGS
      ])
      assert.strictEqual(added.stdout, "added route new.example.net on :443: api.internal:8080\n")
      const route = { ...FULL, hostname: "new.example.net", l7Policies: [] }
      assert.deepStrictEqual(asked[1], { operation: "addRoute", request: { listenerAddr: ":443", route } })
      const plain = ["--send-proxy-protocol", ":443", "b.test", "127.0.0.1:18443"]
      yield* ctl(socket, ["routes", "add", ...plain])
      assert.deepStrictEqual(asked[3]?.request, { listenerAddr: ":443", route: { ...PLAIN, hostname: "b.test" } })
    })
  )

  it.live("makes paths absolute, as the proxy is in another folder", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRoutes()
      const flags = ["--mode", "l7", "--tls-cert", "a.pem", "--tls-key", "./keys/a.key"]
      yield* ctl(socket, ["routes", "add", ":443", "a.test", "127.0.0.1:1", ...flags])
      const { route } = asked[1]?.request as { readonly route: Route }
      assert.strictEqual(route.tlsCert, join(process.cwd(), "a.pem"))
      assert.strictEqual(route.tlsKey, join(process.cwd(), "keys", "a.key"))
    })
  )

  it.live("refuses a hostname that has a route, in whatever form, and changes nothing", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRoutes()
      const { failure, stdout } = yield* ctl(socket, ["routes", "add", ":443", "GIT.example.net.", "127.0.0.1:1"])
      assert.strictEqual(stdout, "")
      assert.match(
        failure ?? "",
        /^git\.example\.net on :443 has a route already, to 127\.0\.0\.1:18443; give --replace/
      )
      assert.deepStrictEqual(asked, [{ operation: "listRoutes", request: { listenerAddr: ":443" } }])
    })
  )

  it.live("replaces when it is told to, and keeps the policies, or says that an L4 route has none", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRoutes()
      const args = ["routes", "add", ":443", "api.example.net", "127.0.0.1:1", "--replace"]
      const { stderr, stdout } = yield* ctl(socket, [...args, ...FULL_FLAGS])
      assert.strictEqual(stderr, "")
      assert.strictEqual(stdout, "replaced route api.example.net on :443: 127.0.0.1:1\n")
      assert.deepStrictEqual(asked[1]?.request, { listenerAddr: ":443", route: { ...FULL, backend: "127.0.0.1:1" } })
      const l4 = yield* ctl(socket, args)
      assert.strictEqual(
        l4.stderr,
        "warning: an L4 route takes no policies: those of the route before are removed (1)\n"
      )
      const route = Route.make({ hostname: "api.example.net", backend: "127.0.0.1:1" })
      assert.deepStrictEqual(asked[3]?.request, { listenerAddr: ":443", route })
    })
  )

  it.live("tells the proxy's warnings, and of somebody who was quicker, beside the answer", () =>
    Effect.gen(function* () {
      const { socket } = yield* withRoutes({
        addRoute: () => Effect.succeed({ replaced: true, warnings: ["covers b.test\u0007"] })
      })
      const { stderr, stdout } = yield* ctl(socket, ["--json", "routes", "add", ":443", "a.test", "127.0.0.1:1"])
      assert.deepStrictEqual(JSON.parse(stdout), { replaced: true, warnings: ["covers b.test\u0007"] })
      assert.strictEqual(
        stderr,
        "warning: another route was added meanwhile, and is replaced\nwarning: covers b.test\\u0007\n"
      )
    })
  )
})

describe("routes remove", () => {
  it.live("names the route in canonical form", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withRoutes()
      const { stdout } = yield* ctl(socket, ["routes", "remove", ":443", "Git.Example.net"])
      assert.strictEqual(stdout, "removed route git.example.net on :443\n")
      const request = { listenerAddr: ":443", hostname: "git.example.net" }
      assert.deepStrictEqual(asked, [{ operation: "removeRoute", request }])
    })
  )
})

describe("policies", () => {
  it.live("are listed, added and removed", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startAdmin({
        listL7Policies: () => Effect.succeed({ policies: FULL.l7Policies }),
        addL7Policy: () => Effect.succeed({}),
        removeL7Policy: () => Effect.succeed({})
      })
      const place = [":443", "api.example.net"]
      const listed = yield* ctl(socket, ["policies", "list", ...place])
      assert.strictEqual(listed.stdout, "TYPE            VALUE\nrequire_header  x-key\n")
      const added = yield* ctl(socket, ["policies", "add", ...place, "block_user_agent", "Bad Bot"])
      assert.strictEqual(added.stdout, "added block_user_agent to api.example.net on :443\n")
      const removed = yield* ctl(socket, ["policies", "remove", ...place, "require_header", "x-key"])
      assert.strictEqual(removed.stdout, "removed require_header from api.example.net on :443\n")
      const at = { listenerAddr: ":443", hostname: "api.example.net" }
      assert.deepStrictEqual(asked, [
        { operation: "listL7Policies", request: at },
        { operation: "addL7Policy", request: { ...at, policy: { type: "block_user_agent", value: "Bad Bot" } } },
        { operation: "removeL7Policy", request: { ...at, policy: { type: "require_header", value: "x-key" } } }
      ])
    })
  )
})
