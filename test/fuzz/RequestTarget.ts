/**
 * The head of an HTTP request, once its lines are told apart, is refused or taken; one that is taken goes on as a request
 * that the next reader understands in the same way, over HTTP/1.1 and over HTTP/2.
 */
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict"
import { Result } from "effect"
import { countOf } from "../../src/l7/Fields.ts"
import { readHttp1Request, type Http1Head } from "../../src/l7/Http1Request.ts"
import { readHttp2Request } from "../../src/l7/Http2Request.ts"
import type { RequestHead } from "../../src/l7/Message.ts"
import { parseHostname } from "../../src/snapshot/Hostname.ts"
import type { Target } from "./Target.ts"

const SERVER = Result.getOrThrow(parseHostname("a.test"))
const KEY = "dGhlIHNhbXBsZSBub25jZQ=="

const NOT_PASSED = ["host", "connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection", "trailer"]

/** Method, target, version and then `name: value`, a line each; Node's parser has taken the white space away. */
const headOf = (text: string): Http1Head => {
  const [method = "", url = "", httpVersion = "", ...lines] = text.split("\n")
  const rawHeaders = lines.flatMap((field) => {
    const colon = field.indexOf(":")
    return [field.slice(0, Math.max(0, colon)), field.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")]
  })
  return { method, url, httpVersion, rawHeaders }
}

const valuesOf = ({ rawHeaders }: Http1Head, name: string): ReadonlyArray<string> =>
  rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === name)

/** The name that an authority is compared by. */
const nameOf = (authority: string): string =>
  authority
    .toLowerCase()
    .replace(/:[0-9]*$/, "")
    .replace(/\.$/, "")

/** There are no two ways to say whom it is for, or where it ends (RFC 9112 3.2, 6.3). */
const checkSingle = (asked: Http1Head): void => {
  const lengths = valuesOf(asked, "content-length")
  const codings = valuesOf(asked, "transfer-encoding")
  ok(lengths.length + codings.length <= 1)
  for (const length of lengths) match(length, /^[0-9]+$/)
  for (const coding of codings) strictEqual(coding.toLowerCase(), "chunked")
  const [, target] = /^https?:..([^/?#]*)/i.exec(asked.url ?? "") ?? []
  const hosts = [...valuesOf(asked, "host"), ...(target === undefined ? [] : [target])]
  strictEqual(new Set(hosts.map((host) => host.toLowerCase())).size, 1)
  strictEqual(nameOf(hosts[0]!), SERVER)
}

/** As it is said to an HTTP/1.1 backend. */
const asHttp1 = ({ authority, contentLength, fields, hasBody, isWebSocket, method, path }: RequestHead): Http1Head => {
  const chunked = hasBody && !isWebSocket && contentLength === undefined ? ["transfer-encoding", "chunked"] : []
  const upgrade = isWebSocket ? ["connection", "upgrade", "upgrade", "websocket"] : []
  return {
    method,
    url: path,
    httpVersion: "1.1",
    rawHeaders: ["host", authority, ...fields, ...chunked, ...upgrade]
  }
}

const asHttp2 = ({ authority, fields, isWebSocket, method, path }: RequestHead): ReadonlyArray<string> => {
  const verb = isWebSocket ? [":method", "CONNECT", ":protocol", "websocket"] : [":method", method]
  return [...verb, ":scheme", "https", ":path", path, ":authority", authority, ...fields]
}

const check = (bytes: Uint8Array): string => {
  const asked = headOf(Buffer.from(bytes).toString("latin1"))
  const read = readHttp1Request(asked, SERVER)
  if (read._tag === "Refused") {
    if (read.status === 421) ok(valuesOf(asked, "host").every((host) => nameOf(host) !== SERVER))
    return read.reason
  }
  checkSingle(asked)
  const { head } = read
  // Nothing that ends a line or a part of one.
  match(`${head.method} ${head.path}`, /^[!-~\x80-\xff]+ [!-~\x80-\xff]+$/)
  for (const text of head.fields) ok(!/[\r\n\0]/.test(text))
  for (const name of NOT_PASSED) strictEqual(countOf(head.fields, name), 0, name)
  deepStrictEqual(readHttp1Request(asHttp1(head), SERVER), read)
  // HTTP/2 joins cookies, and its handshake of a WebSocket has no length.
  const isSame = countOf(head.fields, "cookie") < 2 && !(head.isWebSocket && head.contentLength !== undefined)
  if (isSame) deepStrictEqual(readHttp2Request(asHttp2(head), !head.hasBody, SERVER), read)
  return `${head.isWebSocket} ${head.hasBody} ${head.contentLength === undefined}`
}

export const requestTarget: Target = {
  name: "request",
  bytesMax: 400,
  dictionary: [
    "GET\n/\n1.1\nHost: a.test",
    "POST\nhttp://a.test/\n1.1\n",
    "OPTIONS\n*\n1.1\n",
    "CONNECT\na.test:443\n1.1\n",
    "\nHost: a.test",
    "A.TEST.:443",
    "\nContent-Length: 5",
    "\nTransfer-Encoding: chunked",
    "\nTransfer-Encoding: gzip, chunked",
    "\nConnection: keep-alive, Upgrade",
    "\nUpgrade: websocket",
    `\nSec-WebSocket-Key: ${KEY}`,
    "\nTE: trailers;q=1",
    "\nProxy-Connection: close",
    "\nTrailer: x",
    "\nCookie: a=b",
    "close",
    "#",
    "?",
    "@",
    "\r",
    "\0",
    " ",
    "1.0"
  ],
  check
}
