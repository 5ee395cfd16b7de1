import { type DescMessage, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { status } from "@grpc/grpc-js"
import { Arbitrary, DateTime, Effect, Fiber, Queue, Schema, Stream } from "effect"
import { RpcSchema } from "effect/rpc"
import {
  type AdminError,
  AlreadyExists,
  FailedPrecondition,
  Internal,
  InvalidArgument,
  NotFound,
  Unavailable
} from "../../../src/admin/AdminError.ts"
import { AdminRpcs } from "../../../src/admin/AdminRpcs.ts"
import { ProxyAdminService } from "../../../src/admin/grpc/gen/mc_proxy/v1/admin_pb.ts"
import { adminMethod, callUnary, connectClient, nextOf, openStream } from "./StockClient.ts"
import { startStub } from "./Stub.ts"

describe("the service", () => {
  it("has a method for every operation, an operation for every method, and streams the same ones", () => {
    const methods = ProxyAdminService.methods.map(({ localName, methodKind }) => [localName, methodKind])
    const operations = [...AdminRpcs.requests.values()].map(({ _tag, successSchema }) => [
      _tag,
      RpcSchema.isStreamSchema(successSchema) ? "server_streaming" : "unary"
    ])
    assert.deepStrictEqual(operations.sort(), methods.sort())
  })

  for (const rpc of AdminRpcs.requests.values()) {
    const method = ProxyAdminService.methods.find(({ localName }) => localName === rpc._tag)
    const success: Schema.Codec<unknown, unknown> = RpcSchema.isStreamSchema(rpc.successSchema)
      ? rpc.successSchema.success
      : rpc.successSchema
    it.prop(`loses nothing of a request of ${rpc._tag}`, [Arbitrary.schema(rpc.payloadSchema)], ([value]) =>
      assertSurvives(rpc.payloadSchema, method!.input, value)
    )
    it.prop(`loses nothing of an answer of ${rpc._tag}`, [Arbitrary.schema(success)], ([value]) =>
      assertSurvives(success, method!.output, value)
    )
  }
})

/** By way of its protobuf message, in binary and as JSON with defaults. */
const assertSurvives = (schema: Schema.Codec<unknown, unknown>, message: DescMessage, value: unknown) => {
  const decode = Schema.decodeUnknownSync(schema)
  const json = Schema.encodeUnknownSync(schema)(value)
  assert.deepStrictEqual(decode(json), value)
  const sent = asProtobufHasThem(json)
  const binary = toBinary(message, fromJson(message, sent))
  const received = toJson(message, fromBinary(message, binary), { alwaysEmitImplicit: true })
  assert.deepStrictEqual(decode(received), decode(sent))
}

/** Strings of Unicode, and the years from 1 to 9999. */
const asProtobufHasThem = (json: unknown) =>
  Schema.decodeUnknownSync(Schema.MutableJson)(
    JSON.parse(JSON.stringify(json), (_, value: unknown) =>
      typeof value === "string" ? value.toWellFormed().replace(/^(?:[+-]\d{6}|0000)(?=-\d\d-\d\dT)/, "2024") : value
    )
  )

describe("a stock client", () => {
  it.live("reaches every operation", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startStub({})
      const client = yield* connectClient(socket)
      for (const { name, methodKind } of ProxyAdminService.methods) {
        const request = {
          listener_addr: ":443",
          route: {},
          listener: {},
          rule: { type: "FIREWALL_RULE_TYPE_IP" },
          policy: { type: "L7_POLICY_TYPE_REQUIRE_HEADER" }
        }
        const failure = yield* Effect.flip(
          methodKind === "unary"
            ? Effect.mapError(callUnary(client, adminMethod(name), request), ({ code }) => code)
            : Effect.mapError(nextOf(openStream(client, adminMethod(name), request)), ({ code }) => code)
        )
        // The stub's defect.
        assert.strictEqual(failure, status.INTERNAL, name)
      }
      assert.deepStrictEqual(
        asked.map(({ operation }) => operation),
        ProxyAdminService.methods.map(({ localName }) => localName)
      )
    })
  )

  it.live("sends and gets values by their protobuf names", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startStub({
        addRoute: () => Effect.succeed({ replaced: true, warnings: ["careful"] }),
        getStatus: () =>
          Effect.succeed({
            version: "1.2.3",
            startedAt: DateTime.makeUnsafe("2026-01-02T03:04:05.678Z"),
            uptime: 61_005,
            totalConnections: Number.MAX_SAFE_INTEGER,
            activeConnections: 1,
            listeners: [],
            draining: false,
            revision: 7
          })
      })
      const client = yield* connectClient(socket)
      const route = {
        hostname: "a.test",
        backend: "b.test:1",
        mode: "ROUTE_MODE_L7",
        backend_protocol: 2,
        tls_cert: "/c"
      }
      const added = yield* callUnary(client, adminMethod("AddRoute"), { listener_addr: ":443", route })
      assert.deepStrictEqual(added, { replaced: true, warnings: ["careful"] })
      assert.deepStrictEqual(asked[0]?.request, {
        listenerAddr: ":443",
        route: {
          hostname: "a.test",
          backend: "b.test:1",
          mode: "l7",
          tlsCert: "/c",
          tlsKey: "",
          backendTls: false,
          sendProxyProtocol: false,
          l7Policies: [],
          backendProtocol: "http/1.1",
          backendCa: "",
          backendServerName: ""
        }
      })
      assert.deepInclude(yield* callUnary(client, adminMethod("GetStatus"), {}), {
        version: "1.2.3",
        started_at: { seconds: "1767323045", nanos: 678_000_000 },
        uptime: { seconds: "61", nanos: 5_000_000 },
        total_connections: "9007199254740991"
      })
    })
  )

  it.live("is told field, value and rule of what does not fit, all of it", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startStub({})
      const client = yield* connectClient(socket)
      const refusal = (name: string, request: object) =>
        Effect.map(Effect.flip(callUnary(client, adminMethod(name), { ...request })), ({ code, details }) => {
          assert.strictEqual(code, status.INVALID_ARGUMENT)
          return details
        })
      assert.strictEqual(yield* refusal("AddFirewallRule", {}), "rule: is missing")
      assert.strictEqual(
        yield* refusal("AddFirewallRule", { rule: { value: "x" } }),
        `rule.type: "FIREWALL_RULE_TYPE_UNSPECIFIED" is not one of ip, cidr, country`
      )
      const routes = [{}, { mode: 9, l7_policies: [{}] }]
      assert.strictEqual(
        yield* refusal("ImportState", { listeners: [{ listener: {}, routes }] }),
        `listeners[0].routes[1].mode: 9 is not one of l4, l7
listeners[0].routes[1].l7_policies[0].type: "L7_POLICY_TYPE_UNSPECIFIED" is not one of block_user_agent, require_header`
      )
      const many = yield* refusal("ApplyFirewallRules", { add: Array.from({ length: 1000 }, () => ({})) })
      assert.match(many, /\nand 980 more problems$/)
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("is told each error by its code, word for word", () =>
    Effect.gen(function* () {
      const message = "a: b, c; d? 100% «é» %3A\nnext"
      const codes: Readonly<Record<AdminError["_tag"], readonly [AdminError, status]>> = {
        InvalidArgument: [new InvalidArgument({ message }), status.INVALID_ARGUMENT],
        NotFound: [new NotFound({ message }), status.NOT_FOUND],
        AlreadyExists: [new AlreadyExists({ message }), status.ALREADY_EXISTS],
        FailedPrecondition: [new FailedPrecondition({ message }), status.FAILED_PRECONDITION],
        Unavailable: [new Unavailable({ message }), status.UNAVAILABLE],
        Internal: [new Internal({ message }), status.INTERNAL]
      }
      for (const [error, code] of Object.values(codes)) {
        const { close, socket } = yield* startStub({
          reload: () => Effect.fail(error),
          watchConnections: () => Stream.fail(error)
        })
        const client = yield* connectClient(socket)
        const refused = yield* Effect.flip(callUnary(client, adminMethod("Reload"), {}))
        assert.deepStrictEqual([refused.code, refused.details], [code, message])
        const ended = yield* Effect.flip(nextOf(openStream(client, adminMethod("WatchConnections"), {})))
        assert.deepStrictEqual([ended.code, ended.details], [code, message])
        client.close()
        yield* close
      }
    })
  )

  it.live("is told of a defect in general words, and the log in all", () =>
    Effect.gen(function* () {
      const defect = new Error("the secret detail")
      const { logged, socket } = yield* startStub({
        reload: () => Effect.die(defect),
        snapshot: () => Effect.succeed({ bytes: -1 }),
        watchConnections: () => Stream.die(defect)
      })
      const client = yield* connectClient(socket)
      const refused = yield* Effect.flip(callUnary(client, adminMethod("Reload"), {}))
      const words = "reload met a defect of the proxy; its log says more"
      assert.deepStrictEqual([refused.code, refused.details], [status.INTERNAL, words])
      const ended = yield* Effect.flip(nextOf(openStream(client, adminMethod("WatchConnections"), {})))
      assert.strictEqual(ended.code, status.INTERNAL)
      assert.deepStrictEqual(logged, [
        ["an operation met a defect of the proxy", defect],
        ["an operation met a defect of the proxy", defect]
      ])
      const misfit = yield* Effect.flip(callUnary(client, adminMethod("Snapshot"), { path: "/x" }))
      assert.strictEqual(misfit.code, status.INTERNAL)
      assert.strictEqual(logged.length, 3)
    })
  )

  it.live("interrupts the operation when it cancels, and when its deadline passes", () =>
    Effect.gen(function* () {
      const began = yield* Queue.unbounded<void>()
      const interrupted = yield* Queue.unbounded<void>()
      const endless = Effect.andThen(Queue.offer(began, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => Queue.offer(interrupted, undefined))
      )
      const { socket } = yield* startStub({ reload: () => endless, watchConnections: () => Stream.fromEffect(endless) })
      const client = yield* connectClient(socket)

      const call = yield* Effect.forkChild(callUnary(client, adminMethod("Reload"), {}))
      yield* Queue.take(began)
      yield* Fiber.interrupt(call)
      yield* Queue.take(interrupted)

      const stream = openStream(client, adminMethod("WatchConnections"), {})
      yield* Queue.take(began)
      stream.cancel()
      yield* Queue.take(interrupted)

      const late = yield* Effect.flip(callUnary(client, adminMethod("Reload"), {}, { deadline: Date.now() + 100 }))
      assert.strictEqual(late.code, status.DEADLINE_EXCEEDED)
      yield* Queue.take(interrupted)
    })
  )

  it.live("carries a hundred thousand rules at once, both ways", () =>
    Effect.gen(function* () {
      const values = Array.from({ length: 100_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
      const { asked, socket } = yield* startStub({
        applyFirewallRules: ({ add }) => Effect.succeed({ added: add.length, removed: 0, unchanged: 0 }),
        getFirewallRules: () => Effect.succeed({ rules: values.map((value) => ({ type: "ip", value })) })
      })
      const client = yield* connectClient(socket)
      const add = values.map((value) => ({ type: "FIREWALL_RULE_TYPE_IP", value }))
      assert.deepInclude(yield* callUnary(client, adminMethod("ApplyFirewallRules"), { add }), { added: 100_000 })
      const rules = values.map((value) => ({ type: "ip" as const, value }))
      assert.strictEqual(JSON.stringify(asked[0]?.request), JSON.stringify({ add: rules, remove: [] }))
      const listed = yield* callUnary(client, adminMethod("GetFirewallRules"), {})
      assert.strictEqual(JSON.stringify(listed["rules"]), JSON.stringify(add))
    })
  )

  it.live("is pulled for: a stream waits for its slow reader, and loses nothing", () =>
    Effect.gen(function* () {
      let pulled = 0
      const events = Stream.range(1, EVENTS).pipe(
        Stream.rechunk(1),
        Stream.map((dropped) => {
          pulled = dropped
          return { event: "dropped" as const, outcome: "" as const, dropped, connection: LARGE }
        })
      )
      const { socket } = yield* startStub({
        watchConnections: () => events,
        listListeners: () => Effect.succeed({ listeners: [] })
      })
      const client = yield* connectClient(socket)
      const stream = openStream(client, adminMethod("WatchConnections"), {})
      assert.deepInclude(yield* nextOf(stream), { event: "EVENT_DROPPED", dropped: "1" })
      // While others are answered, it has every chance to go on.
      let before = 0
      while (pulled > before) {
        before = pulled
        for (let i = 0; i < 20; i++) yield* callUnary(client, adminMethod("ListListeners"), {})
      }
      assert.isBelow(pulled, EVENTS / 2)
      for (let i = 2; i <= EVENTS; i++) assert.deepInclude(yield* nextOf(stream), { dropped: String(i) })
      assert.strictEqual((yield* Effect.flip(nextOf(stream))).code, status.OK)
    })
  )
})

/** Of four kibibytes each: far more than the windows and buffers of one stream hold. */
const EVENTS = 1000

const LARGE = {
  id: "1",
  listenerAddr: ":443",
  client: "192.0.2.1:1",
  hostname: "a".repeat(4096),
  backend: "",
  mode: "" as const,
  openedAt: DateTime.makeUnsafe(0),
  bytesFromClient: 0,
  bytesFromBackend: 0,
  peer: "",
  country: ""
}
