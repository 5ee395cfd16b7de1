import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Option, Result } from "effect"
import * as fc from "fast-check"
import { join } from "node:path"
import type { AdminError } from "../../src/admin/AdminError.ts"
import { FirewallRule, L7Policy as L7PolicyMessage, Listener, Route } from "../../src/admin/AdminSchema.ts"
import type { L7Policy } from "../../src/snapshot/Snapshot.ts"
import type { FirewallRule as Rule } from "../../src/snapshot/FirewallRule.ts"
import { FakeFollower } from "../control/FakeFollower.ts"
import { withFile } from "../store/Files.ts"
import { l4, l7, listenerOf } from "../store/RandomState.ts"
import { AdminModel, type Answer, type Operation } from "./AdminModel.ts"
import { openControl } from "./ControlWorld.ts"

type Control = Effect.Success<ReturnType<typeof openControl>>
type Client = Control["client"]

const CERTIFICATES = join(import.meta.dirname, "../config/certificates")

/** An L7 route whose certificate loads. */
const l7Route = (name: string, policies: ReadonlyArray<L7Policy>) => ({
  ...l7(name, policies),
  tlsCert: join(CERTIFICATES, "server.pem"),
  tlsKey: join(CERTIFICATES, "server.key")
})

/** The operation's answer, of which the model knows a part. */
const run = (client: Client, operation: Operation): Effect.Effect<object, AdminError> => {
  switch (operation.op) {
    case "addRoute":
      return Effect.map(
        client.addRoute({ listenerAddr: operation.addr, route: Route.make(operation.route) }),
        ({ replaced }) => ({ replaced })
      )
    case "removeRoute":
      return client.removeRoute({ listenerAddr: operation.addr, hostname: operation.hostname })
    case "addFirewallRule":
      return client.addFirewallRule(operation)
    case "removeFirewallRule":
      return client.removeFirewallRule(operation)
    case "applyFirewallRules":
      return client.applyFirewallRules(operation)
    case "addL7Policy":
      return client.addL7Policy({ ...operation, listenerAddr: operation.addr })
    case "removeL7Policy":
      return client.removeL7Policy({ ...operation, listenerAddr: operation.addr })
    case "addListener":
      return client.addListener(operation)
    case "updateListener":
      return client.updateListener(operation)
    case "removeListener":
      return client.removeListener(operation)
    case "setListenerMaxConnections":
      return client.setListenerMaxConnections({ ...operation, listenerAddr: operation.addr })
    case "importState": {
      const listeners = operation.state.listeners.map(({ routes, ...listener }) => ({
        listener,
        routes: routes.map((route) => Route.make(route))
      }))
      const { firewallRules } = operation.state
      return Effect.as(client.importState({ listeners, firewallRules, dryRun: operation.dryRun }), {})
    }
  }
}

const answerOf = (exit: Exit.Exit<object, AdminError>): Answer => {
  if (Exit.isSuccess(exit)) return { ok: { ...exit.value } }
  return { error: Option.match(Cause.findErrorOption(exit.cause), { onNone: () => "a defect", onSome: (e) => e._tag }) }
}

/** One listener and one name more often than others, so that operations meet what those before them have made. */
const addr = fc.oneof({ weight: 2, arbitrary: fc.constant(":1") }, fc.constantFrom(":1", ":2", ":3", "127.0.0.1:4"))
const name = fc.oneof(fc.constant("a.test"), fc.constantFrom("a.test", "b.test", "c.test"))
const policy = fc.constantFrom<L7Policy>(
  { type: "block_user_agent", value: "Bot" },
  { type: "block_user_agent", value: "bot" },
  { type: "require_header", value: "x-key" }
)
const policies = fc.uniqueArray(policy, { selector: ({ type, value }) => type + value.toLowerCase() })
const route = fc.oneof(
  fc.tuple(name, fc.constantFrom("127.0.0.1:1", "b.test:2")).map(([name, backend]) => l4(name, backend)),
  fc.tuple(name, policies).map(([name, policies]) => l7Route(name, policies))
)
const rule = fc.constantFrom<Rule>(
  { type: "ip", value: "192.0.2.1" },
  { type: "ip", value: "2001:db8::1" },
  { type: "cidr", value: "10.0.0.0/8" },
  { type: "country", value: "DE" }
)
const settings = fc.record({
  addr,
  proxyProtocol: fc.boolean(),
  trustedProxies: fc.constantFrom<ReadonlyArray<string>>([], ["192.0.2.0/24"]),
  maxConnections: fc.nat({ max: 3 })
})
const state = fc.record({
  listeners: fc
    .uniqueArray(fc.tuple(settings, fc.uniqueArray(route, { selector: ({ hostname }) => hostname, maxLength: 3 })), {
      selector: ([{ addr }]) => addr,
      maxLength: 3
    })
    .map((listeners) => listeners.map(([listener, routes]) => ({ ...listener, routes }))),
  firewallRules: fc.uniqueArray(rule, { selector: ({ value }) => value })
})

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ op: fc.constant("addRoute" as const), addr, route }),
  fc.record({ op: fc.constant("removeRoute" as const), addr, hostname: name }),
  fc.record({ op: fc.constant("addFirewallRule" as const), rule }),
  fc.record({ op: fc.constant("removeFirewallRule" as const), rule }),
  fc.record({
    op: fc.constant("applyFirewallRules" as const),
    add: fc.array(rule, { maxLength: 3 }),
    remove: fc.array(rule, { maxLength: 2 })
  }),
  fc.record({ op: fc.constant("addL7Policy" as const), addr, hostname: name, policy }),
  fc.record({ op: fc.constant("removeL7Policy" as const), addr, hostname: name, policy }),
  { weight: 2, arbitrary: fc.record({ op: fc.constant("addListener" as const), listener: settings }) },
  fc.record({ op: fc.constant("updateListener" as const), listener: settings }),
  fc.record({ op: fc.constant("removeListener" as const), addr }),
  fc.record({ op: fc.constant("setListenerMaxConnections" as const), addr, maxConnections: fc.nat({ max: 5 }) }),
  fc.record({ op: fc.constant("importState" as const), state, dryRun: fc.boolean() })
)

/** What the API itself tells of the state. */
const listed = Effect.fnUntraced(function* (client: Client) {
  const { listeners } = yield* client.listListeners({})
  const { listeners: routes } = yield* client.listRoutes({})
  const { rules } = yield* client.getFirewallRules({})
  const places = routes.flatMap(({ listenerAddr, routes }) =>
    routes.map(({ hostname }) => ({ listenerAddr, hostname }))
  )
  return {
    listeners: listeners.map((listener, i) => ({ ...listener, routes: routes[i]!.routes })),
    firewallRules: rules,
    policies: yield* Effect.forEach(places, (place) => Effect.map(client.listL7Policies(place), (all) => all.policies))
  }
})

const expected = ({ state }: AdminModel) => ({
  listeners: state.listeners.map(({ routes, ...listener }) => ({
    ...Listener.make(listener),
    routes: routes.map((route) => Route.make(route))
  })),
  firewallRules: state.firewallRules.map((rule) => FirewallRule.make(rule)),
  policies: state.listeners.flatMap(({ routes }) =>
    routes.map((route) => (route.mode === "l7" ? route.l7Policies : []).map((policy) => L7PolicyMessage.make(policy)))
  )
})

describe("any operations, one after the other", () => {
  it.live("give the answers, the state and the data plane of a plain model, and the same state once opened again", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 25, size: "max" }), (operations) =>
          Effect.runPromise(
            withFile((file) =>
              Effect.gen(function* () {
                const model = new AdminModel(new Set([":3"]))
                const follower = new FakeFollower()
                follower.taken.add(":3")
                yield* Effect.scoped(
                  Effect.gen(function* () {
                    const { client } = yield* openControl(file, follower, { geoipDb: "countries.mmdb" })
                    for (const operation of operations) {
                      const answer = answerOf(yield* Effect.exit(run(client, operation)))
                      assert.deepStrictEqual(answer, model.run(operation), JSON.stringify(operation))
                      assert.deepStrictEqual(yield* listed(client), expected(model))
                    }
                    const { firewallRules, listeners } = follower.state
                    assert.strictEqual(firewallRules.length, model.state.firewallRules.length)
                    assert.deepStrictEqual([...listeners], [...model.state.listeners])
                  })
                )
                const { control } = yield* openControl(file, new FakeFollower())
                assert.deepStrictEqual(control.current.state.toState(), model.state)
              })
            )
          )
        ),
        { numRuns: 60 }
      )
    )
  )
})

const refusal = <A>(effect: Effect.Effect<A, AdminError>) =>
  Effect.map(Effect.result(effect), (result) =>
    Result.isFailure(result) ? `${result.failure._tag} ${result.failure.message}` : "nothing was refused"
  )

describe("a refusal", () => {
  const refusing = (name: string, ask: (client: Client) => Effect.Effect<unknown, AdminError>, says: string) =>
    it.live(name, () =>
      withFile((file) =>
        Effect.gen(function* () {
          const { client } = yield* openControl(file, new FakeFollower())
          const { routes: _, ...listener } = listenerOf(":1")
          yield* client.addListener({ listener })
          yield* client.addRoute({ listenerAddr: ":1", route: { hostname: "a.test", backend: "127.0.0.1:1" } })
          assert.strictEqual(yield* refusal(ask(client)), says)
        })
      )
    )

  const route = { hostname: "b.test", backend: "127.0.0.1:1" }
  const add = (differences: object) => (client: Client) =>
    client.addRoute({ listenerAddr: ":1", route: { ...route, ...differences } })

  refusing(
    "names a host name that is none, and what is wrong with it",
    add({ hostname: "*.b.test" }),
    'InvalidArgument route.hostname: "*.b.test" has a wildcard; write an exact host name such as git.example.net'
  )
  refusing(
    "names a backend that is none",
    add({ backend: "localhost" }),
    'InvalidArgument route.backend: "localhost" is not "host:port", "ip:port" or "[ip6]:port"'
  )
  refusing(
    "names each of several problems",
    add({ hostname: "", backend: ":1" }),
    `InvalidArgument route.hostname: "" is empty; write an exact host name such as git.example.net
route.backend: ":1" has a host that is empty`
  )
  refusing(
    "names an L7 option on an L4 route",
    add({ backendTls: true }),
    'InvalidArgument route: mode = "l4" takes no backend_tls; set mode = "l7" or remove it'
  )
  refusing(
    "names what an L7 route lacks",
    add({ mode: "l7" }),
    'InvalidArgument route: mode = "l7" needs tls_cert and tls_key; write the path of each PEM file'
  )
  refusing(
    "names a path that is not absolute",
    add({ mode: "l7", tlsCert: "a.pem", tlsKey: "/a.key" }),
    'InvalidArgument route.tls_cert: "a.pem" is no absolute path on the proxy\'s host'
  )
  refusing(
    "names a certificate that does not load",
    add({ mode: "l7", tlsCert: join(CERTIFICATES, "missing.pem"), tlsKey: join(CERTIFICATES, "server.key") }),
    `InvalidArgument route.tls_cert: "${join(CERTIFICATES, "missing.pem")}" no such file; check the path`
  )
  refusing(
    "names a listener that is not there",
    (client) => client.addRoute({ listenerAddr: ":9", route }),
    "NotFound listener_addr: there is no listener :9"
  )
  refusing(
    "names a listener's address that is none",
    (client) => client.listRoutes({ listenerAddr: "443" }),
    'InvalidArgument listener_addr: "443" is not ":port", "ip:port" or "[ip6]:port"'
  )
  refusing(
    "names a route that is not there",
    (client) => client.removeRoute({ listenerAddr: ":1", hostname: "B.test." }),
    'NotFound hostname: listener :1 has no route for "b.test"'
  )
  refusing(
    "names a network with host bits",
    (client) => client.addFirewallRule({ rule: { type: "cidr", value: "10.0.0.1/8" } }),
    'InvalidArgument rule.value: "10.0.0.1/8" has host bits set beyond /8'
  )
  refusing(
    "says that countries cannot be told without a database",
    (client) => client.addFirewallRule({ rule: { type: "country", value: "DE" } }),
    "FailedPrecondition firewall.geoip_db is not set, so that no country can be told; set it in the config file and start the proxy again"
  )
  refusing(
    "says that a policy is not for an L4 route",
    (client) =>
      client.addL7Policy({ listenerAddr: ":1", hostname: "a.test", policy: { type: "require_header", value: "x" } }),
    "InvalidArgument policy: the route for a.test on :1 is L4, and takes no policies"
  )
  refusing(
    "names a header that is none",
    (client) =>
      client.addL7Policy({ listenerAddr: ":1", hostname: "a.test", policy: { type: "require_header", value: "x y" } }),
    'InvalidArgument policy.value: "x y" is no header name such as "x-api-key"'
  )
  refusing(
    "names the bad lines of an import, and keeps all as it was",
    (client) => client.importState({ listeners: [], firewallRules: [{ type: "ip", value: "1.2.3" }], dryRun: false }),
    `InvalidArgument listeners: missing; write at least one [[listeners]] with its addr
firewall_rules[0].value: "1.2.3" is no IP address`
  )
  refusing(
    "names a limit out of range",
    (client) => client.setListenerMaxConnections({ listenerAddr: ":1", maxConnections: 2 ** 31 - 1 }),
    "InvalidArgument max_connections: 2147483647 is not an integer from 0 to 1048576"
  )
  refusing(
    "names a connection that is not live",
    (client) => client.closeConnection({ id: "x" }),
    'NotFound id: there is no live connection "x"'
  )
  refusing(
    "names a snapshot's path that is not absolute",
    (client) => client.snapshot({ path: "a.db" }),
    'InvalidArgument path: "a.db" is no absolute path on the proxy\'s host'
  )
  refusing(
    "names a snapshot's path that no file can have",
    (client) => client.snapshot({ path: "/a\0.db" }),
    'InvalidArgument path: "/a\\u0000.db" has a NUL character, which no path can have'
  )
})
