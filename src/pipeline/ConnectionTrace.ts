/**
 * The spans of one connection: one for the whole of it, and a child for each stage it comes to.
 *
 * Stages follow each other, so that the next one ends the one before, and the end of the connection the last.
 */
import { Context, Exit, Option } from "effect"
import type { Tracer } from "effect"
import type { SpanSink } from "../observe/Tracing.ts"
import type { LiveConnection } from "./LiveConnection.ts"
import type { Outcome } from "./Outcome.ts"

export type TracedStage = "accept" | "identify" | "admit" | "peek" | "route" | "dial" | "relay" | "terminate"

export class ConnectionTrace {
  /** For the spans of what the connection carries. */
  readonly span: Tracer.Span
  readonly #sink: SpanSink
  #stage: Tracer.Span | undefined

  constructor(sink: SpanSink) {
    this.#sink = sink
    this.span = this.open("connection", "server", undefined)
  }

  /** Whether there is room for the span of something that the connection carries. */
  get ready(): boolean {
    return this.#sink.ready
  }

  /** Nanoseconds since 1970. */
  now(): bigint {
    return this.#sink.now()
  }

  /** A span of something that the connection carries, begun now; whoever opens it ends it. */
  open(name: string, kind: Tracer.SpanKind, parent: Tracer.AnySpan | undefined): Tracer.Span {
    return this.#sink.tracer.span({
      name,
      kind,
      parent: Option.fromUndefinedOr(parent),
      annotations: Context.empty(),
      links: [],
      startTime: this.#sink.now(),
      root: parent === undefined,
      sampled: parent?.sampled ?? true
    })
  }

  stage(name: TracedStage): void {
    this.#endStage()
    this.#stage = this.open(name, name === "dial" ? "client" : "internal", this.span)
  }

  /** What the access log tells of the connection, by the names of OpenTelemetry where it has one. */
  end(live: LiveConnection, outcome: Outcome): void {
    this.#endStage()
    const { client, country = "", hostname = "", route } = live.known
    const { peer } = live.socket
    const attributes = {
      "mc_proxy.connection.id": live.id,
      "mc_proxy.listener": live.listener,
      "mc_proxy.outcome": outcome,
      "client.address": (client ?? peer)?.ip.text,
      "client.port": (client ?? peer)?.port,
      "network.peer.address": peer?.ip.text,
      "network.peer.port": peer?.port,
      "client.geo.country.iso_code": country,
      "server.address": hostname,
      "mc_proxy.backend": route?.route.backend,
      "mc_proxy.mode": route?.route.mode,
      "mc_proxy.bytes.from_client": live.bytesFromClient,
      "mc_proxy.bytes.from_backend": live.bytesFromBackend
    }
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== "") this.span.attribute(name, value)
    }
    this.span.end(this.now(), Exit.void)
  }

  #endStage(): void {
    this.#stage?.end(this.now(), Exit.void)
    this.#stage = undefined
  }
}
