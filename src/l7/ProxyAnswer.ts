/**
 * The answers that are the proxy's own: a status with a short plain body that names neither backend nor software.
 *
 * A gRPC call whose backend cannot be reached gets a trailers-only answer instead, since its client reads `grpc-status`
 * and not the status of HTTP. Every other refusal is the same for both: a gRPC client has a rule for each status.
 */
import { Buffer } from "node:buffer"
import { fieldOf } from "./Fields.ts"
import type { Fields } from "./Message.ts"

export type ProxyStatus = 400 | 403 | 405 | 408 | 421 | 431 | 501 | 502 | 504

export interface ProxyAnswer {
  readonly status: number
  readonly fields: Fields
  /** Empty where there is none. HEAD gets the same fields without it. */
  readonly body: string
  /** What the answer counts as: the status, or the one that a gRPC answer stands for. */
  readonly code: ProxyStatus
}

/** The answer to a request with these end-to-end fields, or to none whose fields could be read. */
export const proxyAnswer = (status: ProxyStatus, request: Fields = []): ProxyAnswer =>
  (isGrpc(request) ? GRPC_ANSWERS[status] : undefined) ?? ANSWERS[status]

/** Whether a request is a gRPC call; gRPC-Web is none, it reads its status from the body. */
export const isGrpc = (request: Fields): boolean => {
  const type = fieldOf(request, "content-type")
  return type !== undefined && GRPC_TYPE.test(type)
}

const answer = (code: ProxyStatus, text: string, ...more: ReadonlyArray<string>): ProxyAnswer => {
  const body = `${text}\n`
  const length = String(Buffer.byteLength(body))
  // Some statuses may be cached unless they say otherwise (RFC 9110 15.1), and none of ours is the backend's word.
  const fields = ["content-type", "text/plain", "content-length", length, "cache-control", "no-store", ...more]
  return { status: code, fields, body, code }
}

/** gRPC's UNAVAILABLE, which its clients may try again. */
const unavailable = (code: ProxyStatus, message: string): ProxyAnswer => ({
  status: 200,
  fields: ["content-type", "application/grpc", "grpc-status", "14", "grpc-message", message],
  body: "",
  code
})

const ANSWERS: Readonly<Record<ProxyStatus, ProxyAnswer>> = {
  400: answer(400, "Bad Request"),
  403: answer(403, "Forbidden"),
  405: answer(405, "Method Not Allowed", "allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
  408: answer(408, "Request Timeout"),
  421: answer(421, "Misdirected Request"),
  431: answer(431, "Request Header Fields Too Large"),
  501: answer(501, "Not Implemented"),
  502: answer(502, "Bad Gateway"),
  504: answer(504, "Gateway Timeout")
}

const GRPC_ANSWERS: Readonly<Partial<Record<ProxyStatus, ProxyAnswer>>> = {
  502: unavailable(502, "backend unavailable"),
  504: unavailable(504, "backend timed out")
}

const GRPC_TYPE = /^application\/grpc(?:$|[+;\s])/i
