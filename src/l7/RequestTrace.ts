/**
 * The span of one request on L7, between the client's span, where it names one, and the backend's.
 *
 * A request continues the trace of its `traceparent` (W3C Trace Context 3.2); one without belongs to its connection's.
 * What is passed on names this span as the parent of the backend's. A `traceparent` that is none begins a new one, and
 * takes the `tracestate` beside it away (3.3).
 */
import { Exit, Option } from "effect"
import type { Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"
import type { ConnectionTrace } from "../pipeline/ConnectionTrace.ts"
import { countOf, fieldOf } from "./Fields.ts"
import type { LiveRequest } from "./LiveRequest.ts"
import type { Fields } from "./Message.ts"

export class RequestTrace {
  readonly #connection: ConnectionTrace
  readonly #span: Tracer.Span
  readonly #isContinued: boolean

  /** `fields`: of the request; none where it could not be read. */
  constructor(connection: ConnectionTrace, fields: Fields) {
    this.#connection = connection
    const parent = parentOf(fields)
    this.#isContinued = parent !== undefined
    this.#span = connection.open("request", "server", parent ?? connection.span)
  }

  /** The request's fields with this span in the place of the client's. */
  passOn(fields: Fields): Array<string> {
    const passed: Array<string> = []
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const name = fields[i]!
      if (name === "traceparent" || (name === "tracestate" && !this.#isContinued)) continue
      passed.push(name, fields[i + 1]!)
    }
    const { sampled, spanId, traceId } = this.#span
    passed.push("traceparent", `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`)
    return passed
  }

  /** What the access log tells of the request, by OpenTelemetry's names. `problem`: why it has no whole answer. */
  end({ exchange: { method, request, target }, status }: LiveRequest, problem: string | undefined): void {
    const query = target.indexOf("?")
    const attributes = {
      "http.request.method": shorten(method),
      "url.path": shorten(query < 0 ? target : target.slice(0, query)),
      "url.scheme": "https",
      "server.address": request._tag === "Request" ? shorten(request.head.authority) : undefined,
      "http.response.status_code": status,
      "error.type": problem
    }
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== "") this.#span.attribute(name, value)
    }
    this.#span.end(this.#connection.now(), Exit.void)
  }
}

/** A span's room is counted on as a kilobyte; a client's target may have 64. */
const TEXT_CHARS_MAX = 256

const shorten = (text: string): string => (text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}…` : text)

/** The client's span. One that is repeated is none (3.2). */
const parentOf = (fields: Fields): Tracer.ExternalSpan | undefined => {
  const traceparent = countOf(fields, "traceparent") === 1 ? fieldOf(fields, "traceparent") : undefined
  if (traceparent === undefined) return undefined
  return Option.getOrUndefined(HttpTraceContext.w3c(Headers.fromInput({ traceparent })))
}
