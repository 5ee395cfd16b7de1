/**
 * The one way to stderr: lines from everywhere, written in batches by one fiber.
 *
 * `write` only appends to a bounded buffer: it never waits, whatever the reader does, and drops and counts when the
 * buffer is full. At most one write is outstanding. A destination that breaks ends logging, not the proxy. When the
 * scope closes, what is buffered is written, for a slow reader at most within `CLOSE_TIMEOUT`. Escaping is the callers'
 * part (LogLine.ts); the sink trusts that a line is one line.
 */
import { Clock, Context, Duration, Effect, Fiber, Latch, Layer } from "effect"
import type { Scope } from "effect"
import { openDescriptor } from "./DescriptorNode.ts"
import { LineBuffer } from "./LineBuffer.ts"
import type { LogDestination } from "./LogDestination.ts"
import { formatRecord, type LogFormat } from "./LogLine.ts"

export class LogSink extends Context.Service<
  LogSink,
  {
    /** Queues one line, without its newline. Never waits, never throws; when there is no room the line is dropped. */
    write(line: string): void
    /** Lines lost since the start. */
    readonly dropped: number
  }
>()("mc-proxy/observe/LogSink") {
  /** Writes to stderr. `format` is that of the line that tells how many were lost. */
  static readonly layer = (format: LogFormat): Layer.Layer<LogSink> => LogSink.layerTo(openDescriptor(2), format)

  /** Writes to a destination of one's own, which is released when the sink has written its last. */
  static readonly layerTo = (
    destination: Effect.Effect<LogDestination, never, Scope.Scope>,
    format: LogFormat
  ): Layer.Layer<LogSink> =>
    Layer.effect(
      LogSink,
      Effect.flatMap(destination, (opened) => make(opened, format))
    )

  /** Appends every line to `lines` at once. */
  static readonly layerMemory = (lines: Array<string>): Layer.Layer<LogSink> =>
    Layer.succeed(LogSink, { write: (line) => void lines.push(line), dropped: 0 })
}

/** How long the first line of a batch waits for others: long enough to share a write, too short for a reader to see. */
const BATCH_DELAY = Duration.millis(50)

/** How long a stalled reader holds up the end of the process. */
const CLOSE_TIMEOUT = Duration.seconds(1)

/** The first pause before a full destination is tried again; each further one is twice as long. */
const RETRY_DELAY_MS_MIN = 1

/** The longest such pause: a stalled reader costs ten attempts a second, one that is back waits no longer than this. */
const RETRY_DELAY_MS_MAX = 100

const make = Effect.fnUntraced(function* (destination: LogDestination, format: LogFormat) {
  const clock = yield* Clock.Clock
  const filled = Latch.makeUnsafe(false)
  const closing = Latch.makeUnsafe(false)
  const buffer = new LineBuffer((lost) =>
    formatRecord(format, {
      time: clock.currentTimeMillisUnsafe(),
      level: "warn",
      message: `${lost} log lines dropped`,
      fields: []
    })
  )

  const drain = Effect.gen(function* () {
    do {
      yield* filled.await
      yield* Effect.timeoutOption(closing.await, BATCH_DELAY)
      filled.closeUnsafe()
      for (let batch = buffer.take(); batch !== undefined; batch = buffer.take()) {
        yield* writeAll(destination, batch)
        buffer.release()
      }
    } while (!closing.isOpen())
  })
  const drained = yield* Effect.forkScoped(
    Effect.ensuring(
      Effect.ignore(drain),
      Effect.sync(() => buffer.end())
    )
  )

  yield* Effect.addFinalizer(() => {
    closing.openUnsafe()
    filled.openUnsafe()
    return Fiber.await(drained).pipe(Effect.timeoutOption(CLOSE_TIMEOUT))
  })

  return LogSink.of({
    write(line) {
      buffer.push(line)
      filled.openUnsafe()
    },
    get dropped() {
      return buffer.dropped
    }
  })
})

/** Writes a batch, however few bytes the destination takes at a time. */
const writeAll = Effect.fnUntraced(function* (destination: LogDestination, batch: string) {
  let rest: Uint8Array = Buffer.from(batch, "utf8")
  let delayMs = RETRY_DELAY_MS_MIN
  while (rest.length > 0) {
    const written = yield* destination.write(rest)
    rest = rest.subarray(written)
    if (written > 0) {
      delayMs = RETRY_DELAY_MS_MIN
    } else {
      yield* Effect.sleep(delayMs)
      delayMs = Math.min(delayMs * 2, RETRY_DELAY_MS_MAX)
    }
  }
})
