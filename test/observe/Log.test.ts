import { assert, it } from "@effect/vitest"
import { Cause, Data, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as Log from "../../src/observe/Log.ts"
import { formatRecord, type LogValue } from "../../src/observe/LogLine.ts"
import { LogSink } from "../../src/observe/LogSink.ts"
import { parseTextRecord, UNSAFE } from "./Logfmt.ts"

/** The lines that `effect` logs at the hour of the examples. */
const logged = (options: Log.LogOptions, effect: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    yield* TestClock.setTime(Date.UTC(2026, 10, 22, 17, 45, 1, 123))
    yield* Effect.provide(effect, Layer.provide(Log.layer(options), LogSink.layerMemory(lines)))
    return lines
  })

class DialError extends Data.TaggedError("DialError")<{ readonly message: string; readonly cause?: unknown }> {}

it.effect("writes the time, the level, the message and the annotations", () =>
  Effect.gen(function* () {
    const said = Effect.logInfo("listening", "on", { port: 443 }).pipe(
      Effect.annotateLogs({ listener: ":443", routes: 12, note: "two words", nothing: undefined, v6: true })
    )
    assert.deepStrictEqual(yield* logged({ level: "info", format: "text" }, said), [
      String.raw`2026-11-22T17:45:01.123Z INFO  "listening on {\"port\":443}"` +
        ' listener=:443 routes=12 note="two words" nothing= v6=true'
    ])
    assert.deepStrictEqual(yield* logged({ level: "info", format: "json" }, said), [
      String.raw`{"time":"2026-11-22T17:45:01.123Z","level":"info","message":"listening on {\"port\":443}"` +
        ',"listener":":443","routes":12,"note":"two words","nothing":null,"v6":true}'
    ])
  })
)

it.effect("writes prose as it is", () =>
  Effect.gen(function* () {
    const lines = yield* logged(
      { level: "info", format: "text" },
      Effect.logWarning("Zürich: 3 rules, 日本 none (yet)")
    )
    assert.deepStrictEqual(lines, ["2026-11-22T17:45:01.123Z WARN  Zürich: 3 rules, 日本 none (yet)"])
  })
)

it.effect("writes what is at its level or above", () =>
  Effect.gen(function* () {
    const all = Effect.all([
      Effect.logTrace("m"),
      Effect.logDebug("m"),
      Effect.logInfo("m"),
      Effect.logWarning("m"),
      Effect.logError("m"),
      Effect.logFatal("m")
    ])
    const levels = ["debug", "info", "warn", "error", "fatal"]
    for (const level of ["debug", "info", "warn", "error"] as const) {
      const lines = yield* logged({ level, format: "json" }, all)
      assert.deepStrictEqual(
        lines.map((line) => (JSON.parse(line) as { level: string }).level),
        levels.slice(levels.indexOf(level))
      )
    }
  })
)

it.effect("tells a failure by its message and its causes, without a stack trace", () =>
  Effect.gen(function* () {
    const cause = new DialError({
      message: "no answer",
      cause: new Error("connect\nrefused", { cause: new TypeError("x") })
    })
    const failures = Effect.all([
      Effect.logError("dial failed", Cause.fail(cause)),
      Effect.logError(Cause.die(new Error("broken"))),
      Effect.logError("both", Cause.combine(Cause.fail(cause), Cause.die("text"))),
      Effect.logError("stopped", Cause.interrupt(1)),
      Effect.logError("as a value", cause).pipe(Effect.annotateLogs({ error: cause }))
    ])
    const chain = String.raw`DialError: no answer, caused by connect\nrefused, caused by TypeError: x`
    for (const format of ["text", "json"] as const) {
      const lines = yield* logged({ level: "info", format }, failures)
      assert.strictEqual(lines.length, 5)
      for (const line of lines) assert.notMatch(line, /\bat .*(?:\.[jt]s|native)|node:/)
    }
    const lines = yield* logged({ level: "info", format: "text" }, failures)
    assert.deepStrictEqual(
      lines.slice(0, 4).map((line) => line.slice("2026-11-22T17:45:01.123Z ERROR ".length)),
      [`dial failed cause="${chain}"`, "broken", `both cause="${chain}; text"`, "stopped cause=interrupted"]
    )
  })
)

it.effect("adds the stack trace at level debug, in the same line", () =>
  Effect.gen(function* () {
    const failure = Effect.logError("dial failed", Cause.fail(new DialError({ message: "no answer" })))
    for (const format of ["text", "json"] as const) {
      const lines = yield* logged({ level: "debug", format }, failure)
      assert.strictEqual(lines.length, 1)
      assert.notMatch(lines[0]!, UNSAFE)
      const stack =
        format === "text"
          ? new Map(parseTextRecord(lines[0]!).fields).get("stack")
          : (JSON.parse(lines[0]!) as { stack: string }).stack
      assert.match(stack ?? "", /^DialError: no answer\n +at .*Log\.test\.ts/)
    }
  })
)

it.effect("lets no annotation take the place of a line's own keys", () =>
  Effect.gen(function* () {
    const said = Effect.logInfo("m").pipe(Effect.annotateLogs({ level: "error", time: 0, "a b\nlevel": 1 }))
    const [json] = yield* logged({ level: "info", format: "json" }, said)
    assert.deepStrictEqual(JSON.parse(json!), {
      time: "2026-11-22T17:45:01.123Z",
      level: "info",
      message: "m",
      level_: "error",
      time_: 0,
      "a b\nlevel": 1
    })
    const [text] = yield* logged({ level: "info", format: "text" }, said)
    assert.strictEqual(text, "2026-11-22T17:45:01.123Z INFO  m level_=error time_=0 a_b_level=1")
  })
)

it.effect("survives values that cannot be looked at", () =>
  Effect.gen(function* () {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    const hostile = {
      toString: () => {
        throw new Error("no")
      },
      toJSON: () => {
        throw new Error("no")
      }
    }
    const said = Effect.logInfo("m", hostile).pipe(
      Effect.annotateLogs({ hostile, circular, big: 2n ** 64n, none: Number.NaN, symbol: Symbol("s") })
    )
    for (const format of ["text", "json"] as const) {
      const [line] = yield* logged({ level: "info", format }, said)
      assert.match(line!, /big.{1,3}18446744073709551616n/)
      if (format === "json") assert.propertyVal(JSON.parse(line!), "none", "NaN")
    }
  })
)

const text = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    "",
    " ",
    "a b",
    "level=info",
    '"',
    "\\n",
    "\n",
    "\r",
    "\u0085",
    "\u2028",
    "\u202e",
    "\u001b[31m",
    "\ud800"
  ),
  fc.array(fc.constantFrom("a", " ", "=", '"', "\\", "\n", "k=v"), { maxLength: 8 }).map((parts) => parts.join(""))
)
const value: fc.Arbitrary<LogValue> = fc.oneof(
  text,
  fc.boolean(),
  fc.constant(null),
  fc.double({ noDefaultInfinity: true, noNaN: true })
)
const records = fc.record({
  time: fc.nat(),
  level: fc.constantFrom("debug", "info", "warn", "error"),
  message: text,
  fields: fc.array(fc.tuple(fc.stringMatching(/^[a-z][a-z0-9_.-]{0,8}x$/), value), { maxLength: 4 })
})

it("reads back from text what went in, from one line of safe characters", () => {
  fc.assert(
    fc.property(records, (record) => {
      const line = formatRecord("text", record)
      assert.notMatch(line, UNSAFE)
      assert.deepStrictEqual(parseTextRecord(line), {
        time: new Date(record.time).toISOString(),
        level: record.level,
        message: record.message,
        fields: record.fields.map(([key, field]) => [key, `${field ?? ""}`] as [string, string])
      })
    }),
    { numRuns: 1000 }
  )
})

it("reads back from JSON what went in, whatever the keys, from one line of safe characters", () => {
  // No key has a backslash: V8 14.6 later takes keys with escapes, such as "\na", for such a one. The next test has them.
  const key = text.filter((name) => !name.includes("\\"))
  const anyKeys = fc.record({ time: fc.nat(), level: text, message: text, fields: fc.array(fc.tuple(key, value)) })
  fc.assert(
    fc.property(anyKeys, (record) => {
      const line = formatRecord("json", record)
      assert.notMatch(line, UNSAFE)
      const { time, level, message, fields } = record
      const expected = new Map<string, unknown>([
        ["time", new Date(time).toISOString()],
        ["level", level],
        ["message", message]
      ])
      for (const [key, field] of fields) expected.set(key, Object.is(field, -0) ? 0 : field)
      assert.deepStrictEqual(new Map(Object.entries(JSON.parse(line) as object)), expected)
    }),
    { numRuns: 1000 }
  )
})

it("escapes a backslash in a key of JSON", () => {
  const line = formatRecord("json", { time: 0, level: "info", message: "", fields: [["\\n", 1]] })
  assert.include(line, String.raw`,"\\n":1}`)
})
