/**
 * What one client asks over HTTP, request by request, and what its backend does about each: plain values, so that a
 * backend finds by a request's path what it has to do, and a checker what may come of it.
 */
import type { Alpn } from "../../net/Network.ts"
import { pattern } from "../Bytes.ts"
import type { Draw } from "../Draw.ts"
import { drawHandshake, type HandshakePlan } from "./WebHandshake.ts"
import { BAD_AGENTS } from "./WebSite.ts"

export interface WebPlan {
  /** Without any HTTP/1.1 is spoken, which is also what one says who knows only that. */
  readonly alpn: ReadonlyArray<Alpn>
  readonly handshake: HandshakePlan
  readonly requests: ReadonlyArray<RequestPlan>
  /** On HTTP/1.1: it sends them all at once; none has a body, and none is cancelled. */
  readonly isPipelined: boolean
  /**
   * When its requests are over: it closes, resets, stays until the proxy has enough of it, or begins a head on HTTP/1.1 that
   * never becomes whole.
   */
  readonly leaving: "closing" | "resetting" | "staying" | "dawdling"
  /** It resets, whatever runs. */
  readonly resetAfterMs: number | undefined
}

/** `grpc` is a call over HTTP/2, whose status is a trailer; of a `websocket` both bodies go at the same time. */
export type RequestKind = "plain" | "grpc" | "websocket"

export interface RequestPlan {
  readonly kind: RequestKind
  /** On HTTP/2 since the connection was there, on HTTP/1.1 since the one before was over. */
  readonly afterMs: number
  readonly method: "GET" | "HEAD" | "POST" | "PUT"
  readonly agent: string
  readonly hasToken: boolean
  /** It says itself who it is, and whom it asks through. */
  readonly isForged: boolean
  readonly flaw: Flaw
  readonly body: BodyPlan
  /** How long it takes for each piece that it reads. */
  readonly readPauseMs: number
  readonly cancelledAfterMs: number | undefined
  /** It says when it will cancel, as calls of gRPC do that have a deadline. */
  readonly hasDeadline: boolean
  readonly answer: AnswerPlan
}

/**
 * Why the proxy refuses it, whatever else it is: it asks for another host than that of its connection, for two at once, or
 * its head is longer than one may be.
 */
export type Flaw = "none" | "misdirected" | "ambiguous" | "oversized"

export interface BodyPlan {
  readonly bytes: number
  readonly pieceBytes: number
  readonly pauseMs: number
  /** By `Content-Length`. */
  readonly isDeclared: boolean
  readonly trailer: string
}

/**
 * `whole` answers when it has read all, `early` before that, and `chatty` each piece with one of its own; `cut` breaks off in the middle of its body and `break` before
 * its head; `mute` never answers. `refuse` has nothing to do with a request when it comes first, `leave` says that it is
 * the connection's last.
 */
export type AnswerKind = "whole" | "early" | "chatty" | "cut" | "break" | "mute" | "refuse" | "leave"

export interface AnswerPlan {
  readonly kind: AnswerKind
  readonly status: number
  readonly hasInterim: boolean
  readonly body: BodyPlan
  readonly readPauseMs: number
}

export const drawWeb = (draw: Draw): WebPlan => {
  const alpn = draw.pick<ReadonlyArray<Alpn>>([["h2", "http/1.1"], ["h2"], ["http/1.1"], []])
  const count = draw.integer(1, 5)
  const isPipelined = !alpn.includes("h2") && draw.chance(25)
  return {
    alpn,
    handshake: drawHandshake(draw),
    requests: draw.times(count, (i) => {
      if (isPipelined) return unburdened(drawRequest(draw, "plain"))
      return drawRequest(draw, drawKind(draw, alpn, i === count - 1))
    }),
    isPipelined,
    leaving: draw.weighted({ closing: 7, resetting: 2, staying: 1, dawdling: alpn.includes("h2") ? 0 : 2 }),
    resetAfterMs: draw.chance(12) ? draw.integer(0, 120) : undefined
  }
}

/** On HTTP/1.1 nothing comes behind a WebSocket. */
const drawKind = (draw: Draw, alpn: ReadonlyArray<Alpn>, isLast: boolean): RequestKind => {
  if (alpn.includes("h2")) return draw.weighted({ plain: 12, grpc: 5, websocket: 3 })
  return isLast && draw.chance(25) ? "websocket" : "plain"
}

const drawRequest = (draw: Draw, kind: RequestKind): RequestPlan => {
  const method = METHODS[kind] ?? draw.weighted({ GET: 5, HEAD: 1, POST: 4, PUT: 1 })
  const hasBody = kind !== "plain" || method === "POST" || method === "PUT"
  const cancelledAfterMs = draw.chance(20) ? draw.integer(0, 80) : undefined
  return {
    kind,
    afterMs: draw.integer(0, 60),
    method,
    agent: draw.chance(15) ? `Mozilla/5.0 (${draw.pick(BAD_AGENTS).toUpperCase()}/1.0)` : "Mozilla/5.0",
    hasToken: draw.chance(70),
    isForged: draw.chance(25),
    flaw: drawFlaw(draw, hasBody),
    body: hasBody ? framed(drawBody(draw), kind, "") : NO_BODY,
    readPauseMs: drawPause(draw),
    cancelledAfterMs,
    hasDeadline: kind === "grpc" && draw.chance(50),
    answer: drawAnswer(draw, kind, cancelledAfterMs !== undefined)
  }
}

/** One with a body would be answered within that. */
const drawFlaw = (draw: Draw, hasBody: boolean): Flaw =>
  draw.weighted({ none: 94, misdirected: 3, ambiguous: 2, oversized: hasBody ? 0 : 2 })

const unburdened = (request: RequestPlan): RequestPlan => ({
  ...request,
  method: request.method === "HEAD" ? "HEAD" : "GET",
  flaw: "none",
  body: NO_BODY,
  cancelledAfterMs: undefined
})

const METHODS: Readonly<Record<RequestKind, RequestPlan["method"] | undefined>> = {
  plain: undefined,
  grpc: "POST",
  websocket: "GET"
}

const drawAnswer = (draw: Draw, kind: RequestKind, isCancelled: boolean): AnswerPlan => {
  const status = draw.weighted(STATUSES[kind])
  return {
    kind: draw.weighted({
      whole: 12,
      early: 4,
      chatty: kind === "grpc" ? 8 : 0,
      cut: 2,
      break: 1,
      // Who cancels does that most often since nothing comes.
      mute: isCancelled ? 20 : 1,
      refuse: 1,
      leave: 1
    }),
    status: Number(status),
    hasInterim: kind === "plain" && draw.chance(15),
    body: status === "204" ? NO_BODY : framed(drawBody(draw), kind, draw.pick(["0", "5", "13"])),
    readPauseMs: drawPause(draw)
  }
}

/** Any 2xx accepts a WebSocket. */
const STATUSES: Readonly<Record<RequestKind, Readonly<Record<"200" | "204" | "404" | "503", number>>>> = {
  plain: { 200: 8, 204: 1, 404: 1, 503: 1 },
  grpc: { 200: 1, 204: 0, 404: 0, 503: 0 },
  websocket: { 200: 8, 204: 0, 404: 1, 503: 1 }
}

/** How such a body ends: the status of a call is one of its trailers, and a WebSocket has none. */
const framed = (body: BodyPlan, kind: RequestKind, callStatus: string): BodyPlan => {
  if (kind === "plain") return body
  return { ...body, isDeclared: false, trailer: kind === "grpc" ? callStatus : "" }
}

/** Some are larger than all that a way holds. */
const drawBody = (draw: Draw): BodyPlan => {
  const bytes = draw.chance(6) ? draw.integer(20_000, 60_000) : draw.integer(0, 6_000)
  const dribbles = bytes < 6_000 && draw.chance(25)
  return {
    bytes,
    pieceBytes: dribbles ? draw.integer(100, 1000) : 16_384,
    pauseMs: dribbles ? draw.integer(1, 10) : 0,
    isDeclared: draw.chance(50),
    trailer: draw.chance(20) ? "checked" : ""
  }
}

const drawPause = (draw: Draw): number => (draw.chance(15) ? draw.integer(1, 6) : 0)

const NO_BODY: BodyPlan = { bytes: 0, pieceBytes: 1, pauseMs: 0, isDeclared: true, trailer: "" }

/** The path by which a request is known everywhere. */
export const pathOf = (client: number, index: number): string => `/${client}/${index}`

/** The client and the number of its request; `undefined` where it is no such path. */
export const placeOf = (path: string): readonly [client: number, index: number] | undefined => {
  const found = /^\/(\d+)\/(\d+)$/.exec(path)
  return found === null ? undefined : [Number(found[1]), Number(found[2])]
}

/** A WebSocket of which that becomes one. */
export const isAccepted = ({ answer, kind }: RequestPlan): boolean => kind === "websocket" && answer.status === 200

/** What ends such an answer; "": nothing. A call without a body has its status in the head. */
export const answerTrailer = ({ answer: { body }, kind, method }: RequestPlan): string => {
  if (kind === "grpc") return body.trailer
  return method === "HEAD" || body.bytes === 0 || body.isDeclared ? "" : body.trailer
}

/** The bodies differ from request to request. */
export const requestBody = (client: number, index: number, { body }: RequestPlan): Uint8Array =>
  pattern(body.bytes, client * 7 + index)
export const answerBody = (client: number, index: number, { body }: AnswerPlan): Uint8Array =>
  pattern(body.bytes, client * 11 + index + 128)
