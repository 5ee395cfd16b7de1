import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fc from "fast-check"
import {
  AccessLog,
  formatConnection,
  formatRequest,
  type ConnectionEntry,
  type RequestEntry
} from "../../src/observe/AccessLog.ts"
import { LogSink } from "../../src/observe/LogSink.ts"
import { OUTCOMES } from "../../src/pipeline/Outcome.ts"
import { parsePairs, UNSAFE } from "./Logfmt.ts"

const relayed: ConnectionEntry = {
  time: Date.UTC(2026, 10, 22, 17, 45, 1, 123),
  id: "0b9f1c",
  listener: ":443",
  client: "203.0.113.7:5123",
  peer: "[2001:db8::1]:40000",
  country: "DE",
  hostname: "git.example.net",
  backend: "127.0.0.1:18443",
  mode: "l4",
  outcome: "done",
  rule: "",
  fromClient: 517,
  fromBackend: 1_000_000_000_000,
  durationMs: 1234.5678,
  dialMs: 0.25
}

const blocked: ConnectionEntry = {
  ...relayed,
  hostname: "",
  backend: "",
  mode: "",
  outcome: "blocked_cidr",
  rule: "cidr 203.0.113.0/24",
  fromClient: 0,
  fromBackend: 0,
  durationMs: 0.1,
  dialMs: undefined
}

it("writes a relayed connection in both formats", () => {
  assert.strictEqual(
    formatConnection("text", relayed),
    "time=2026-11-22T17:45:01.123Z id=0b9f1c listener=:443 client=203.0.113.7:5123 peer=[2001:db8::1]:40000" +
      " country=DE hostname=git.example.net backend=127.0.0.1:18443 mode=l4 outcome=done rule=" +
      " from_client=517 from_backend=1000000000000 duration_ms=1234.568 dial_ms=0.25"
  )
  assert.strictEqual(
    formatConnection("json", relayed),
    '{"time":"2026-11-22T17:45:01.123Z","id":"0b9f1c","listener":":443","client":"203.0.113.7:5123"' +
      ',"peer":"[2001:db8::1]:40000","country":"DE","hostname":"git.example.net","backend":"127.0.0.1:18443"' +
      ',"mode":"l4","outcome":"done","rule":"","from_client":517,"from_backend":1000000000000' +
      ',"duration_ms":1234.568,"dial_ms":0.25}'
  )
})

it("keeps every key of a connection that was blocked, and says by which rule", () => {
  assert.strictEqual(
    formatConnection("text", blocked).slice("time=2026-11-22T17:45:01.123Z ".length),
    "id=0b9f1c listener=:443 client=203.0.113.7:5123 peer=[2001:db8::1]:40000 country=DE hostname= backend= mode=" +
      ' outcome=blocked_cidr rule="cidr 203.0.113.0/24" from_client=0 from_backend=0 duration_ms=0.1 dial_ms='
  )
  const parsed = JSON.parse(formatConnection("json", blocked)) as Record<string, unknown>
  assert.strictEqual(parsed["rule"], "cidr 203.0.113.0/24")
  assert.strictEqual(parsed["hostname"], "")
  assert.isNull(parsed["dial_ms"])
})

const text = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    "\n",
    "\r\ntime=2026-11-22T17:45:01.123Z id=forged",
    "\u2028",
    "\u202e",
    "\u001b[2J",
    'a"b',
    "\\",
    "\ud800"
  )
)
const ms = fc.double({ min: 0, max: 1e9, noNaN: true })
const bytes = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const entries: fc.Arbitrary<ConnectionEntry> = fc.record({
  time: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date("9999-12-31") }).map((date) => date.getTime()),
  id: text,
  listener: text,
  client: text,
  peer: text,
  country: text,
  hostname: text,
  backend: text,
  mode: fc.constantFrom("l4", "l7", ""),
  outcome: fc.constantFrom(...OUTCOMES),
  rule: text,
  fromClient: bytes,
  fromBackend: bytes,
  durationMs: ms,
  dialMs: fc.option(ms, { nil: undefined })
})

/** What a reader must get back, by the contract's keys and in their order. */
const expected = (entry: ConnectionEntry): Array<[string, string | number | null]> => [
  ["time", new Date(entry.time).toISOString()],
  ["id", entry.id],
  ["listener", entry.listener],
  ["client", entry.client],
  ["peer", entry.peer],
  ["country", entry.country],
  ["hostname", entry.hostname],
  ["backend", entry.backend],
  ["mode", entry.mode],
  ["outcome", entry.outcome],
  ["rule", entry.rule],
  ["from_client", entry.fromClient],
  ["from_backend", entry.fromBackend],
  ["duration_ms", Math.round(entry.durationMs * 1000) / 1000],
  ["dial_ms", entry.dialMs === undefined ? null : Math.round(entry.dialMs * 1000) / 1000]
]

it("reads back from JSON whatever a field holds, from one line of safe characters", () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const line = formatConnection("json", entry)
      assert.notMatch(line, UNSAFE)
      assert.deepStrictEqual(Object.entries(JSON.parse(line) as object), expected(entry))
    }),
    { numRuns: 500 }
  )
})

it("reads back from text whatever a field holds, from one line of safe characters", () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const line = formatConnection("text", entry)
      assert.notMatch(line, UNSAFE)
      assert.deepStrictEqual(
        parsePairs(line),
        expected(entry).map(([key, value]) => [key, `${value ?? ""}`])
      )
    }),
    { numRuns: 500 }
  )
})

it.effect("writes to the sink in its format, or nothing when it is off", () =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const log = (layer: Layer.Layer<AccessLog, never, LogSink>) =>
      Effect.map(AccessLog, (access) => {
        access.connection(relayed)
        return access.enabled
      }).pipe(Effect.provide(Layer.provide(layer, LogSink.layerMemory(lines))))
    assert.isFalse(yield* log(AccessLog.layerNoop))
    assert.deepStrictEqual(lines, [])
    assert.isTrue(yield* log(AccessLog.layer("json")))
    assert.isTrue(yield* log(AccessLog.layer("text")))
    assert.deepStrictEqual(lines, [formatConnection("json", relayed), formatConnection("text", relayed)])
  })
)

const asked: RequestEntry = {
  time: Date.UTC(2026, 10, 22, 17, 45, 1, 123),
  id: "0b9f1c",
  listener: ":443",
  client: "203.0.113.7:5123",
  hostname: "api.example.net",
  method: "GET",
  path: "/v1/items",
  status: 200,
  durationMs: 12.3456,
  bytes: 1024
}

it("writes a request in both formats", () => {
  assert.strictEqual(
    formatRequest("text", asked),
    "time=2026-11-22T17:45:01.123Z id=0b9f1c listener=:443 client=203.0.113.7:5123 hostname=api.example.net" +
      " method=GET path=/v1/items status=200 duration_ms=12.346 bytes=1024"
  )
  assert.strictEqual(
    formatRequest("json", { ...asked, status: undefined }),
    '{"time":"2026-11-22T17:45:01.123Z","id":"0b9f1c","listener":":443","client":"203.0.113.7:5123"' +
      ',"hostname":"api.example.net","method":"GET","path":"/v1/items","status":null,"duration_ms":12.346,"bytes":1024}'
  )
})

it("lets no client forge a line by its method and its path", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (method, path) => {
      const entry = { ...asked, method, path }
      assert.include(JSON.parse(formatRequest("json", entry)), { method, path, status: 200 })
      const text = formatRequest("text", entry)
      assert.notMatch(text, UNSAFE)
      const pairs = parsePairs(text)
      assert.deepStrictEqual(
        pairs.map(([key]) => key),
        ["time", "id", "listener", "client", "hostname", "method", "path", "status", "duration_ms", "bytes"]
      )
    })
  )
})
