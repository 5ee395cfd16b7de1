/**
 * The access log: one line for each connection and for each request, written when it has ended.
 *
 * Every key is always there, in the order of the entry, and empty where there is nothing to say; a connection that
 * dialled no backend has no `dial_ms`, and a request whose client went before it was answered no `status` (in JSON null,
 * so that the column holds numbers). In text a line is
 * logfmt alone, and so told apart from other lines by its first word. Lines go to the sink whatever the log level.
 */
import { Context, Effect, Layer } from "effect"
import type { Outcome } from "../pipeline/Outcome.ts"
import { formatTime, jsonValue, textValue, type LogFormat } from "./LogLine.ts"
import { LogSink } from "./LogSink.ts"

export class AccessLog extends Context.Service<
  AccessLog,
  {
    /** `false`: lines are dropped, so an entry need not be made. */
    readonly enabled: boolean
    connection(entry: ConnectionEntry): void
    request(entry: RequestEntry): void
  }
>()("mc-proxy/observe/AccessLog") {
  static readonly layer = (format: LogFormat): Layer.Layer<AccessLog, never, LogSink> =>
    Layer.effect(
      AccessLog,
      Effect.map(LogSink, (sink) => ({
        enabled: true,
        connection: (entry) => sink.write(formatConnection(format, entry)),
        request: (entry) => sink.write(formatRequest(format, entry))
      }))
    )

  /** `access = false`. */
  static readonly layerNoop: Layer.Layer<AccessLog> = Layer.succeed(AccessLog, {
    enabled: false,
    connection: () => undefined,
    request: () => undefined
  })
}

export interface ConnectionEntry {
  /** When it ended, in milliseconds since the epoch. */
  readonly time: number
  readonly id: string
  /** The listener's `addr`. */
  readonly listener: string
  /** `ip:port` of the client, as the PROXY header names it where there is one. */
  readonly client: string
  /** `ip:port` of the TCP peer. */
  readonly peer: string
  readonly country: string
  readonly hostname: string
  readonly backend: string
  readonly mode: "l4" | "l7" | ""
  readonly outcome: Outcome
  /** What blocked it: `cidr 10.0.0.0/8`, `ip 192.0.2.1`, `country DE`. */
  readonly rule: string
  /** Bytes. */
  readonly fromClient: number
  readonly fromBackend: number
  readonly durationMs: number
  readonly dialMs: number | undefined
}

/** A request on L7. */
export interface RequestEntry {
  /** When it ended, in milliseconds since the epoch. */
  readonly time: number
  /** Of its connection. */
  readonly id: string
  readonly listener: string
  readonly client: string
  readonly hostname: string
  /** As the client sent it. */
  readonly method: string
  /** As the client sent it, without the query. */
  readonly path: string
  /** As it is counted; see `RequestCounters`. */
  readonly status: number | undefined
  readonly durationMs: number
  /** Of the response's body. */
  readonly bytes: number
}

/** One line, without its newline. */
export const formatConnection = (format: LogFormat, entry: ConnectionEntry): string =>
  format === "json" ? jsonConnection(entry) : textConnection(entry)

/** The same. */
export const formatRequest = (format: LogFormat, entry: RequestEntry): string =>
  format === "json" ? jsonRequest(entry) : textRequest(entry)

const textConnection = (entry: ConnectionEntry): string =>
  `time=${formatTime(entry.time)} id=${textValue(entry.id)} listener=${textValue(entry.listener)}` +
  ` client=${textValue(entry.client)} peer=${textValue(entry.peer)} country=${textValue(entry.country)}` +
  ` hostname=${textValue(entry.hostname)} backend=${textValue(entry.backend)} mode=${entry.mode}` +
  ` outcome=${entry.outcome} rule=${textValue(entry.rule)} from_client=${entry.fromClient}` +
  ` from_backend=${entry.fromBackend} duration_ms=${roundMs(entry.durationMs)}` +
  ` dial_ms=${entry.dialMs === undefined ? "" : roundMs(entry.dialMs)}`

const jsonConnection = (entry: ConnectionEntry): string =>
  `{"time":"${formatTime(entry.time)}","id":${jsonValue(entry.id)},"listener":${jsonValue(entry.listener)}` +
  `,"client":${jsonValue(entry.client)},"peer":${jsonValue(entry.peer)},"country":${jsonValue(entry.country)}` +
  `,"hostname":${jsonValue(entry.hostname)},"backend":${jsonValue(entry.backend)},"mode":"${entry.mode}"` +
  `,"outcome":"${entry.outcome}","rule":${jsonValue(entry.rule)},"from_client":${entry.fromClient}` +
  `,"from_backend":${entry.fromBackend},"duration_ms":${roundMs(entry.durationMs)}` +
  `,"dial_ms":${entry.dialMs === undefined ? "null" : roundMs(entry.dialMs)}}`

const textRequest = (entry: RequestEntry): string =>
  `time=${formatTime(entry.time)} id=${textValue(entry.id)} listener=${textValue(entry.listener)}` +
  ` client=${textValue(entry.client)} hostname=${textValue(entry.hostname)} method=${textValue(entry.method)}` +
  ` path=${textValue(entry.path)} status=${entry.status ?? ""} duration_ms=${roundMs(entry.durationMs)}` +
  ` bytes=${entry.bytes}`

const jsonRequest = (entry: RequestEntry): string =>
  `{"time":"${formatTime(entry.time)}","id":${jsonValue(entry.id)},"listener":${jsonValue(entry.listener)}` +
  `,"client":${jsonValue(entry.client)},"hostname":${jsonValue(entry.hostname)},"method":${jsonValue(entry.method)}` +
  `,"path":${jsonValue(entry.path)},"status":${entry.status ?? "null"},"duration_ms":${roundMs(entry.durationMs)}` +
  `,"bytes":${entry.bytes}}`

/** Microseconds are as fine as the clock is worth. */
const roundMs = (ms: number): number => Math.round(ms * 1000) / 1000
