/**
 * Reads the head of an HTTP/1.1 or HTTP/1.0 request as Node's parser gives it, or says how it is refused.
 *
 * Node's parser lets requests pass that a proxy must not: two Hosts or none, targets in absolute form that differ from
 * Host, codings that the next hop may read in another way. They end here (RFC 9112 3.2, 6.1, 6.3).
 */
import type { IncomingMessage } from "node:http"
import type { Hostname } from "../snapshot/Hostname.ts"
import { countOf, endToEnd, fieldOf, listsToken } from "./Fields.ts"
import type { Fields } from "./Message.ts"
import {
  authorityOf,
  checkFields,
  checkSize,
  contentLengthOf,
  isPath,
  isToken,
  refused,
  type RequestRead,
  type RequestRefused
} from "./RequestRead.ts"
import { isKey } from "./WebSocketKey.ts"

/** What is read of Node's `IncomingMessage`; its parser must not drop fields beyond a number (`maxHeadersCount = 0`). */
export type Http1Head = Pick<IncomingMessage, "method" | "url" | "httpVersion" | "rawHeaders">

/** `server`: the name that the connection was made for. */
export const readHttp1Request = (message: Http1Head, server: Hostname): RequestRead => {
  const { method = "", rawHeaders: raw, url = "" } = message
  const wrong = checkSize(raw, method.length + url.length) ?? checkFields(raw, 0) ?? checkLine(message)
  if (wrong !== undefined) return wrong
  const target = readTarget(url, method)
  if (target === undefined) return INVALID_TARGET
  if (message.httpVersion === "1.1" && countOf(raw, "host") === 0) return NO_HOST
  const authority = authorityOf(target.authority, raw, server)
  if (typeof authority !== "string") return authority
  const framing = readFraming(message)
  if ("_tag" in framing) return framing
  const { contentLength, hasBody } = framing
  const isWebSocket = asksForWebSocket(message)
  if (isWebSocket && hasBody) return UPGRADE_WITH_BODY
  if (isWebSocket && !hasKey(raw)) return NO_KEY
  const { path } = target
  const fields = endToEnd(raw)
  const head = { method, authority, path, fields, isWebSocket, hasBody: hasBody || isWebSocket, contentLength }
  return { _tag: "Request", head }
}

/** `Upgrade: websocket` (RFC 6455 4.1). Every other protocol is not offered, and the request served as if without. */
export const asksForWebSocket = ({ httpVersion, method, rawHeaders }: Http1Head): boolean =>
  method === "GET" &&
  httpVersion === "1.1" &&
  listsToken(rawHeaders, "upgrade", "websocket") &&
  listsToken(rawHeaders, "connection", "upgrade")

const checkLine = ({ httpVersion, method = "" }: Http1Head): RequestRefused | undefined => {
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return UNKNOWN_VERSION
  if (!isToken(method)) return INVALID_METHOD
  return method === "CONNECT" ? CONNECT_REFUSED : undefined
}

interface Target {
  /** Of a target in absolute form. */
  readonly authority: string | undefined
  readonly path: string
}

const readTarget = (url: string, method: string): Target | undefined => {
  if (isPath(url, method)) return { authority: undefined, path: url }
  const scheme = SCHEME.exec(url)
  if (scheme === null) return undefined
  const start = scheme[0].length
  const end = url.slice(start).search(END_OF_AUTHORITY)
  const authority = end < 0 ? url.slice(start) : url.slice(start, start + end)
  const path = pathOf(end < 0 ? "" : url.slice(start + end), method)
  return isPath(path, method) ? { authority, path } : undefined
}

/** An empty path is `/`, or `*` for OPTIONS without a query (RFC 9112 3.2.1, 3.2.4). */
const pathOf = (rest: string, method: string): string => {
  if (rest === "") return method === "OPTIONS" ? "*" : "/"
  return rest.startsWith("/") ? rest : `/${rest}`
}

interface Framing {
  readonly hasBody: boolean
  readonly contentLength: number | undefined
}

/**
 * How the body is delimited (RFC 9112 6.3): by one length, or by chunks, which is the one coding taken. HTTP/1.0 knows no
 * coding, and a message of it with one may have been framed by who does not know it either (RFC 9112 6.1).
 */
const readFraming = ({ httpVersion, rawHeaders: raw }: Http1Head): Framing | RequestRefused => {
  const codings = countOf(raw, "transfer-encoding")
  const contentLength = contentLengthOf(raw)
  if (typeof contentLength === "object") return contentLength
  if (codings === 0) return { hasBody: contentLength !== undefined && contentLength > 0, contentLength }
  if (contentLength !== undefined) return TWO_LENGTHS
  if (httpVersion === "1.0") return CODING_IN_1_0
  if (codings === 1 && fieldOf(raw, "transfer-encoding")!.toLowerCase() === "chunked") {
    return { hasBody: true, contentLength: undefined }
  }
  return listsToken(raw, "transfer-encoding", "chunked") ? INVALID_CODING : UNKNOWN_CODING
}

const hasKey = (raw: Fields): boolean =>
  countOf(raw, "sec-websocket-key") === 1 && isKey(fieldOf(raw, "sec-websocket-key")!)

const SCHEME = /^https?:\/\//i
const END_OF_AUTHORITY = /[/?#]/

const UNKNOWN_VERSION = refused(400, "unknown version of HTTP")
const INVALID_METHOD = refused(400, "invalid method")
const CONNECT_REFUSED = refused(405, "CONNECT")
const INVALID_TARGET = refused(400, "invalid target")
const NO_HOST = refused(400, "no host")
const CODING_IN_1_0 = refused(400, "transfer-encoding in HTTP/1.0")
const INVALID_CODING = refused(400, "transfer-encoding other than chunked alone")
const UNKNOWN_CODING = refused(501, "unknown transfer coding")
const TWO_LENGTHS = refused(400, "transfer-encoding and content-length")
const UPGRADE_WITH_BODY = refused(400, "WebSocket handshake with a body")
const NO_KEY = refused(400, "WebSocket handshake without a valid key")
