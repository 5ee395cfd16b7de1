/** How a backend answers a request, as its plan says, whichever version of HTTP it speaks. */
import type { Readable, Writable } from "node:stream"
import { answerBody, answerTrailer, isAccepted, type RequestPlan } from "./WebPlan.ts"
import { trailerName, type ServedRecord } from "./WebRecords.ts"
import { readBody, writeBody, type After } from "./WebStreams.ts"
import type { World } from "./World.ts"

export interface Responder {
  /** Where the body goes. */
  readonly writable: Writable
  /** Nothing can be sent any more. */
  isGone(): boolean
  /** 103 (RFC 8297). */
  interim(): void
  head(status: number, fields: Named, hasBody: boolean, trailers: Named): void
  end(trailers: Named): void
  /** Breaks off. */
  cut(): void
  /** Says that nothing was done, where there is a way to. */
  refuse(): void
  /** Says that the connection takes no more. */
  leave(): void
}

/** Fields by their names. */
export type Named = Readonly<Record<string, string>>

interface Answering {
  readonly plan: RequestPlan
  readonly served: ServedRecord
  readonly request: Readable
  readonly responder: Responder
  readonly after: After
}

export const answer = (
  { plan: { clients }, served: all }: World,
  served: ServedRecord,
  request: Readable,
  responder: Responder,
  after: After
): void => {
  const plan = clients[served.client]?.web?.requests[served.index]
  if (plan === undefined) return responder.cut()
  const { kind, readPauseMs } = plan.answer
  const isFirst = all.filter(({ client, index }) => client === served.client && index === served.index).length === 1
  if (kind === "refuse" && isFirst) return responder.refuse()
  if (kind === "leave") responder.leave()
  readBody(request, served.body, readPauseMs, after)
  if (kind === "mute") return
  const answering: Answering = { plan, served, request, responder, after }
  const later = (send: (answering: Answering) => void) => () => {
    if (!responder.isGone()) send(answering)
  }
  // Not before it reads: Node throws away what comes behind the answer to a request that nobody reads.
  if (plan.kind === "websocket") after(1, later(open))
  else if (kind === "early") after(1, later(send))
  else if (kind === "chatty") later(chat)()
  else whenWhole(answering, later(send))
}

const whenWhole = ({ request, served }: Answering, send: () => void): void => {
  request.on("end", () => {
    if (served.end === "whole") send()
  })
}

const send = (answering: Answering): void => {
  const { after, plan, responder } = answering
  const { body, hasInterim, kind, status } = plan.answer
  const isBodiless = plan.method === "HEAD" || body.bytes === 0
  if (kind === "break" || (kind === "cut" && isBodiless)) return responder.cut()
  if (hasInterim) responder.interim()
  const trailers = trailersOf(plan)
  const fields: Record<string, string> = { ...typeOf(plan) }
  if (body.isDeclared && status !== 204) fields["content-length"] = String(body.bytes)
  if (isBodiless) {
    responder.head(status, { ...fields, ...trailers }, false, {})
    return responder.end({})
  }
  responder.head(status, fields, true, trailers)
  writeBody(responder.writable, bytesOf(answering), body, after, () => {
    if (kind === "cut") responder.cut()
    else responder.end(trailers)
  })
}

/** Accepts a WebSocket, or does not. */
const open = (answering: Answering): void => {
  const { after, plan, responder } = answering
  const { body, kind, status } = plan.answer
  if (kind === "break") return responder.cut()
  if (!isAccepted(plan)) {
    responder.head(status, { "content-length": "0" }, false, {})
    return responder.end({})
  }
  responder.head(status, {}, true, {})
  const say = () =>
    writeBody(responder.writable, bytesOf(answering), body, after, () => {
      if (kind === "cut") responder.cut()
      else responder.end({})
    })
  if (kind === "early" || kind === "cut") say()
  else whenWhole(answering, say)
}

/** Answers as much as has come, as soon as it has, and the rest in the end. */
const chat = (answering: Answering): void => {
  const { plan, request, responder } = answering
  const trailers = trailersOf(plan)
  let rest = bytesOf(answering)
  responder.head(plan.answer.status, typeOf(plan), true, trailers)
  request.on("data", ({ length }: Uint8Array) => {
    if (rest.length > 0 && !responder.isGone()) responder.writable.write(rest.subarray(0, length))
    rest = rest.subarray(length)
  })
  whenWhole(answering, () => {
    if (responder.isGone()) return
    responder.writable.write(rest)
    responder.end(trailers)
  })
}

const bytesOf = ({ plan, served }: Answering): Uint8Array => {
  const whole = answerBody(served.client, served.index, plan.answer)
  return plan.answer.kind === "cut" ? whole.subarray(0, Math.ceil(whole.length / 2)) : whole
}

const trailersOf = (plan: RequestPlan): Named => {
  const trailer = answerTrailer(plan)
  return trailer === "" ? {} : { [trailerName(plan)]: trailer }
}

const typeOf = ({ kind }: RequestPlan): Named => (kind === "grpc" ? { "content-type": "application/grpc" } : {})
