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
  /** When its requests are over: it closes, resets, or stays until the proxy has enough of it. */
  readonly leaving: "closing" | "resetting" | "staying"
  /** It resets, whatever runs. */
  readonly resetAfterMs: number | undefined
}

export interface RequestPlan {
  /** On HTTP/2 since the connection was there, on HTTP/1.1 since the one before was over. */
  readonly afterMs: number
  readonly method: "GET" | "HEAD" | "POST" | "PUT"
  readonly agent: string
  readonly hasToken: boolean
  /** It says itself who it is, and whom it asks through. */
  readonly isForged: boolean
  /** It asks for another host than that of its connection. */
  readonly isMisdirected: boolean
  readonly body: BodyPlan
  /** How long it takes for each piece that it reads. */
  readonly readPauseMs: number
  readonly cancelledAfterMs: number | undefined
  readonly answer: AnswerPlan
}

export interface BodyPlan {
  readonly bytes: number
  readonly pieceBytes: number
  readonly pauseMs: number
  /** By `Content-Length`. */
  readonly isDeclared: boolean
  readonly trailer: string
}

/**
 * `whole` answers when it has read all, `early` before that; `cut` breaks off in the middle of its body and `break` before
 * its head; `mute` never answers. `refuse` has nothing to do with a request when it comes first, `leave` says that it is
 * the connection's last.
 */
export type AnswerKind = "whole" | "early" | "cut" | "break" | "mute" | "refuse" | "leave"

export interface AnswerPlan {
  readonly kind: AnswerKind
  readonly status: number
  readonly hasInterim: boolean
  readonly body: BodyPlan
  readonly readPauseMs: number
}

export const drawWeb = (draw: Draw): WebPlan => ({
  alpn: draw.pick([["h2", "http/1.1"], ["h2"], ["http/1.1"], []] as const),
  handshake: drawHandshake(draw),
  requests: draw.times(draw.integer(1, 5), () => drawRequest(draw)),
  leaving: draw.weighted({ closing: 7, resetting: 2, staying: 1 }),
  resetAfterMs: draw.chance(12) ? draw.integer(0, 120) : undefined
})

const drawRequest = (draw: Draw): RequestPlan => {
  const method = draw.weighted({ GET: 5, HEAD: 1, POST: 4, PUT: 1 })
  const hasBody = method === "POST" || method === "PUT"
  const cancelledAfterMs = draw.chance(20) ? draw.integer(0, 80) : undefined
  return {
    afterMs: draw.integer(0, 60),
    method,
    agent: draw.chance(15) ? `Mozilla/5.0 (${draw.pick(BAD_AGENTS).toUpperCase()}/1.0)` : "Mozilla/5.0",
    hasToken: draw.chance(70),
    isForged: draw.chance(25),
    isMisdirected: draw.chance(4),
    body: hasBody ? drawBody(draw) : NO_BODY,
    readPauseMs: drawPause(draw),
    cancelledAfterMs,
    answer: drawAnswer(draw, cancelledAfterMs !== undefined)
  }
}

const drawAnswer = (draw: Draw, isCancelled: boolean): AnswerPlan => {
  const status = draw.weighted({ 200: 8, 404: 1, 503: 1, 204: 1 })
  return {
    // Who cancels does that most often since nothing comes.
    kind: draw.weighted({ whole: 12, early: 4, cut: 2, break: 1, mute: isCancelled ? 20 : 1, refuse: 1, leave: 1 }),
    status: Number(status),
    hasInterim: draw.chance(15),
    body: status === "204" ? NO_BODY : drawBody(draw),
    readPauseMs: drawPause(draw)
  }
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

/** What ends the body of such an answer; "": nothing. */
export const answerTrailer = (method: string, { body }: AnswerPlan): string =>
  method === "HEAD" || body.bytes === 0 || body.isDeclared ? "" : body.trailer

/** The bodies differ from request to request. */
export const requestBody = (client: number, index: number, { body }: RequestPlan): Uint8Array =>
  pattern(body.bytes, client * 7 + index)
export const answerBody = (client: number, index: number, { body }: AnswerPlan): Uint8Array =>
  pattern(body.bytes, client * 11 + index + 128)
