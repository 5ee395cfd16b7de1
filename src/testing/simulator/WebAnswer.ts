/** How a backend answers a request, as its plan says, whichever version of HTTP it speaks. */
import type { Readable, Writable } from "node:stream"
import { answerBody, answerTrailer, type AnswerPlan } from "./WebPlan.ts"
import type { ServedRecord } from "./WebRecords.ts"
import { readBody, writeBody, type After } from "./WebStreams.ts"
import type { World } from "./World.ts"

export interface Responder {
  /** Where the body goes. */
  readonly writable: Writable
  /** Nothing can be sent any more. */
  isGone(): boolean
  /** 103 (RFC 8297). */
  interim(): void
  head(status: number, fields: Readonly<Record<string, string>>, hasBody: boolean, trailer: string): void
  end(trailer: string): void
  /** Breaks off. */
  cut(): void
  /** Says that nothing was done, where there is a way to. */
  refuse(): void
  /** Says that the connection takes no more. */
  leave(): void
}

export const answer = (
  { plan, served: all }: World,
  served: ServedRecord,
  request: Readable,
  responder: Responder,
  after: After
): void => {
  const own = plan.clients[served.client]?.web?.requests[served.index]?.answer
  if (own === undefined) return responder.cut()
  const isFirst = all.filter(({ client, index }) => client === served.client && index === served.index).length === 1
  if (own.kind === "refuse" && isFirst) return responder.refuse()
  if (own.kind === "leave") responder.leave()
  readBody(request, served.body, own.readPauseMs, after)
  const sending = () => {
    if (!responder.isGone()) send(own, served, responder, after)
  }
  // Not before it reads: Node throws away what comes behind the answer to a request that nobody reads.
  if (own.kind === "early") after(1, sending)
  else if (own.kind !== "mute") {
    request.on("end", () => {
      if (served.end === "whole") sending()
    })
  }
}

const send = (own: AnswerPlan, served: ServedRecord, responder: Responder, after: After): void => {
  const { body, hasInterim, status } = own
  const isBodiless = served.method === "HEAD" || body.bytes === 0
  if (own.kind === "break" || (own.kind === "cut" && isBodiless)) return responder.cut()
  if (hasInterim) responder.interim()
  const whole = answerBody(served.client, served.index, own)
  const trailer = answerTrailer(served.method, own)
  const fields: Record<string, string> = {}
  if (body.isDeclared && status !== 204) fields["content-length"] = String(body.bytes)
  responder.head(status, fields, !isBodiless, trailer)
  if (isBodiless) return responder.end("")
  const bytes = own.kind === "cut" ? whole.subarray(0, Math.ceil(whole.length / 2)) : whole
  writeBody(responder.writable, bytes, body, after, () => {
    if (own.kind === "cut") responder.cut()
    else responder.end(trailer)
  })
}
