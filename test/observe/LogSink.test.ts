import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { BUFFER_LENGTH_MAX } from "../../src/observe/LineBuffer.ts"
import { LogDestinationBroken, type LogDestination } from "../../src/observe/LogDestination.ts"
import { LogSink } from "../../src/observe/LogSink.ts"
import type { LogFormat } from "../../src/observe/LogLine.ts"

/** A reader of which the test says how many bytes it takes; by default all. */
class Reader implements LogDestination {
  /** How many bytes each of the next writes may take; past the end, as many as there are. */
  takes: Array<number> = []
  broken = false
  /** What arrived with each write that was not refused. */
  readonly writes: Array<Uint8Array> = []
  attempts = 0

  get text(): string {
    return Buffer.concat(this.writes).toString("utf8")
  }

  readonly write: LogDestination["write"] = (bytes) =>
    Effect.suspend(() => {
      this.attempts++
      if (this.broken) return Effect.fail(new LogDestinationBroken({ cause: "EPIPE" }))
      const length = Math.min(this.takes.shift() ?? bytes.length, bytes.length)
      if (length > 0) this.writes.push(bytes.slice(0, length))
      return Effect.succeed(length)
    })

  stall(): void {
    this.takes = Array.from({ length: 100_000 }, () => 0)
  }

  resume(): void {
    this.takes = []
  }
}

/** A sink on `destination`, and its end, for which the reader has all the time that the sink gives. */
const open = Effect.fnUntraced(function* (destination: LogDestination, format: LogFormat = "text") {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(LogSink.layerTo(Effect.succeed(destination), format), scope)
  const close = Effect.gen(function* () {
    const closed = yield* Effect.forkChild(Scope.close(scope, Exit.void))
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(closed)
  })
  return { sink: Context.get(context, LogSink), scope, close }
})

const lineMax = "x".repeat(1000)
const linesMax = Math.floor(BUFFER_LENGTH_MAX / (lineMax.length + 1))

it.effect("joins the lines that come together into one write", () =>
  Effect.gen(function* () {
    const reader = new Reader()
    const { sink, close } = yield* open(reader)
    sink.write("one")
    yield* TestClock.adjust("40 millis")
    sink.write("two")
    assert.strictEqual(reader.attempts, 0)
    yield* TestClock.adjust("60 millis")
    assert.strictEqual(reader.text, "one\ntwo\n")
    assert.strictEqual(reader.attempts, 1)
    yield* TestClock.adjust("10 millis")
    sink.write("three")
    yield* TestClock.adjust("49 millis")
    assert.strictEqual(reader.attempts, 1)
    yield* TestClock.adjust("1 millis")
    assert.strictEqual(reader.text, "one\ntwo\nthree\n")
    assert.strictEqual(reader.attempts, 2)
    yield* close
  })
)

it.effect("writes what is buffered when the scope closes, without waiting for more", () =>
  Effect.gen(function* () {
    const reader = new Reader()
    const { sink, scope } = yield* open(reader)
    sink.write("last words")
    yield* Scope.close(scope, Exit.void)
    assert.strictEqual(reader.text, "last words\n")
    assert.strictEqual(sink.dropped, 0)
    sink.write("too late")
    assert.strictEqual(sink.dropped, 1)
    assert.strictEqual(reader.text, "last words\n")
  })
)

it("delivers every byte in order, however few of them each write takes", async () => {
  const lines = fc.array(fc.string({ unit: "grapheme" }), { maxLength: 30 })
  const takes = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 })), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(lines, takes, (lines, takes) =>
      Effect.gen(function* () {
        const reader = new Reader()
        reader.takes = [...takes]
        const { sink, close } = yield* open(reader)
        for (const [i, line] of lines.entries()) {
          sink.write(line)
          if (i % 7 === 6) yield* TestClock.adjust("51 millis")
        }
        yield* TestClock.adjust("1 minute")
        yield* close
        assert.strictEqual(reader.text, lines.map((line) => `${line}\n`).join(""))
        assert.strictEqual(sink.dropped, 0)
      }).pipe(Effect.provide(TestClock.layer()), Effect.runPromise)
    )
  )
})

const notices = {
  text: "TIME WARN  6 log lines dropped",
  json: '{"time":"TIME","level":"warn","message":"6 log lines dropped"}'
}

it.effect.each(["text", "json"] as const)(
  "drops and counts what a stalled reader leaves no room for, and says so in %s when it is back",
  (format) =>
    Effect.gen(function* () {
      const reader = new Reader()
      const { sink, close } = yield* open(reader, format)
      reader.stall()
      for (let i = 0; i < linesMax; i++) sink.write(lineMax)
      assert.strictEqual(sink.dropped, 0)
      for (let i = 0; i < 5; i++) sink.write(lineMax)
      assert.strictEqual(sink.dropped, 5)
      yield* TestClock.adjust("1 minute")
      assert.isBelow(reader.attempts, 650)
      sink.write("lost, too")

      reader.resume()
      yield* TestClock.adjust("100 millis")
      sink.write("back")
      yield* close
      const lines = reader.text.split("\n")
      assert.strictEqual(lines.length, linesMax + 3)
      assert.isTrue(lines.slice(0, linesMax).every((line) => line === lineMax))
      const [notice, ...rest] = lines.slice(linesMax)
      assert.strictEqual(notice?.replace(/1970[-\d:.T]+Z/, "TIME"), notices[format])
      assert.deepStrictEqual(rest, ["back", ""])
      assert.strictEqual(sink.dropped, 6)
    })
)

it.effect("ends logging when the reader is gone, and counts what is lost", () =>
  Effect.gen(function* () {
    const reader = new Reader()
    const { sink, close } = yield* open(reader)
    sink.write("read")
    yield* TestClock.adjust("50 millis")
    reader.broken = true
    sink.write("in the pipe")
    sink.write("with it")
    yield* TestClock.adjust("50 millis")
    assert.strictEqual(sink.dropped, 2)
    sink.write("after")
    assert.strictEqual(sink.dropped, 3)
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(reader.attempts, 2)
    yield* close
    assert.strictEqual(reader.text, "read\n")
  })
)

it.effect("waits for a stalled reader one second at the end, no longer", () =>
  Effect.gen(function* () {
    const never: LogDestination = { write: () => Effect.never }
    const full = new Reader()
    full.stall()
    for (const destination of [never, full]) {
      const { sink, scope } = yield* open(destination)
      sink.write("one")
      yield* TestClock.adjust("1 minute")
      sink.write("two")
      const closed = yield* Effect.forkChild(Effect.uninterruptible(Scope.close(scope, Exit.void)))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(closed.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isDefined(closed.pollUnsafe())
      assert.strictEqual(sink.dropped, 2)
    }
  })
)

it.effect("releases the destination after the last write", () =>
  Effect.gen(function* () {
    const reader = new Reader()
    let released = ""
    const destination = Effect.acquireRelease(Effect.succeed(reader), () => Effect.sync(() => (released = reader.text)))
    yield* Effect.map(LogSink, (sink) => sink.write("last")).pipe(Effect.provide(LogSink.layerTo(destination, "text")))
    assert.strictEqual(released, "last\n")
  })
)
