/**
 * Where spans go, when they go anywhere: `[tracing]`.
 *
 * A reference that is empty by default, so that who is not traced pays one look-up a connection. With a collector, spans
 * are sent in batches by Effect's OTLP exporter. A collector that does not answer costs the spans, a warning now and
 * then, and never a connection: what is under way is bounded, and beyond that connections are not traced.
 */
import { Clock, Context, Effect, Layer } from "effect"
import type { Tracer } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { OtlpExporter, OtlpSerialization, OtlpTracer } from "effect/observability"
import { Alarm } from "../routing/Alarm.ts"

export interface SpanSink {
  readonly tracer: Tracer.Tracer
  /** Whether there is room for the spans of one more connection. */
  readonly ready: boolean
  /** Nanoseconds since 1970. */
  now(): bigint
}

/** `undefined`: nobody is traced. */
export const Tracing = Context.Reference<SpanSink | undefined>("mc-proxy/observe/Tracing", {
  defaultValue: () => undefined
})

/** Sends spans to `endpoint`, an OTLP collector over HTTP. */
export const layerOtlp = (endpoint: string, version: string): Layer.Layer<never> =>
  Layer.effect(Tracing, make(endpoint, version)).pipe(
    Layer.provide([OtlpExporter.layerFlusher, OtlpSerialization.layerJson, FetchHttpClient.layer])
  )

/** So many batches may be on their way, of `BATCH_SPANS_MAX` spans of about a kilobyte. */
const BATCHES_MAX = 4
const BATCH_SPANS_MAX = 1000

/** A collector on the same network answers in milliseconds. */
const SEND_TIMEOUT = "5 seconds"

/** How long the proxy's end waits for the last spans to be sent. */
const SHUTDOWN_TIMEOUT = "2 seconds"

const make = Effect.fnUntraced(function* (endpoint: string, version: string) {
  const clock = yield* Clock.Clock
  const alarm = new Alarm()
  let sending = 0
  const client = (yield* HttpClient.HttpClient).pipe(
    HttpClient.transformResponse((response) =>
      Effect.suspend(() => {
        sending++
        return response
      }).pipe(
        Effect.timeout(SEND_TIMEOUT),
        Effect.catchTag("TimeoutError", () => Effect.die(new Error(`no answer within ${SEND_TIMEOUT}`))),
        Effect.onError(() =>
          alarm.raise(Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
            ? Effect.annotateLogs(Effect.logWarning("the trace collector cannot be reached; spans are lost"), {
                endpoint
              })
            : Effect.void
        ),
        Effect.ensuring(Effect.sync(() => sending--))
      )
    )
  )
  const tracer = yield* OtlpTracer.make({
    url: `${endpoint}/v1/traces`,
    resource: { serviceName: "mc-proxy", serviceVersion: version },
    maxBatchSize: BATCH_SPANS_MAX,
    exportInterval: "1 second",
    shutdownTimeout: SHUTDOWN_TIMEOUT
  }).pipe(Effect.provideService(HttpClient.HttpClient, client))
  return {
    tracer,
    get ready() {
      return sending < BATCHES_MAX
    },
    now: () => clock.currentTimeNanosUnsafe()
  } satisfies SpanSink
})
