/**
 * Requests that two servers in a row could understand differently, as bytes and as fields. None may reach a backend.
 *
 * Each is for `api.example.net`, but for what is wrong with it. Where HTTP/1.1 has a body, it is a request by itself.
 */
import type { Fields } from "../../src/l7/Message.ts"
import { pseudo, SERVER } from "./Requests.ts"

const SMUGGLED = `GET /smuggled HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`

const http1 = (line: string, fields: ReadonlyArray<string>, body = SMUGGLED): string =>
  `${[line, ...fields].join("\r\n")}\r\n\r\n${body}`

const HOST = `Host: ${SERVER}`
const post = (fields: ReadonlyArray<string>, body?: string) => http1("POST / HTTP/1.1", [HOST, ...fields], body)

const chunked = (body: string) => post(["Transfer-Encoding: chunked"], body)

export const HTTP1_REQUESTS: Readonly<Record<string, string>> = {
  "two lengths": post(["Content-Length: 0", `Content-Length: ${SMUGGLED.length}`]),
  "one length twice": post(["Content-Length: 0", "Content-Length: 0"]),
  "a list of lengths": post(["Content-Length: 0, 0"]),
  "a length with a sign": post(["Content-Length: +0"]),
  "a length below zero": post(["Content-Length: -1"]),
  "a length in hexadecimal": post(["Content-Length: 0x0"]),
  "a length with white space inside": post(["Content-Length: 0 0"]),
  "a length of more than numbers hold": post(["Content-Length: 99999999999999999999"]),
  "a length and chunks": post(["Content-Length: 4", "Transfer-Encoding: chunked"], `0\r\n\r\n${SMUGGLED}`),
  "chunks and a length": post(["Transfer-Encoding: chunked", "Content-Length: 4"], `0\r\n\r\n${SMUGGLED}`),
  "chunks twice": post(["Transfer-Encoding: chunked, chunked"], `0\r\n\r\n${SMUGGLED}`),
  "two codings": post(["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], `0\r\n\r\n${SMUGGLED}`),
  "an unknown coding": post(["Transfer-Encoding: xchunked"]),
  "a coding behind a vertical tab": post(["Transfer-Encoding: \x0bchunked"], `0\r\n\r\n${SMUGGLED}`),
  "a coding in quotes": post(['Transfer-Encoding: "chunked"'], `0\r\n\r\n${SMUGGLED}`),
  "white space before a colon": post(["Transfer-Encoding : chunked"], `0\r\n\r\n${SMUGGLED}`),
  "a folded line": post(["Transfer-Encoding:", " chunked"], `0\r\n\r\n${SMUGGLED}`),
  "a name with a space in it": post(["Content Length: 4"]),
  "a line without a colon": post(["Content-Length"]),
  "a bare LF between fields": http1("GET / HTTP/1.1", [`${HOST}\nX-Smuggled: 1`]),
  "a bare CR in a value": http1("GET / HTTP/1.1", [HOST, "X: a\rX-Smuggled: 1"]),
  "a NUL in a value": http1("GET / HTTP/1.1", [HOST, "X: a\0b"]),
  "chunks in HTTP/1.0": http1("POST / HTTP/1.0", [HOST, "Transfer-Encoding: chunked"], `0\r\n\r\n${SMUGGLED}`),
  "no Host": http1("GET / HTTP/1.1", ["X: 1"], ""),
  "no Host in HTTP/1.0": http1("GET / HTTP/1.0", ["X: 1"], ""),
  "two Hosts": http1("GET / HTTP/1.1", [HOST, "Host: b.example.net"], ""),
  "one Host twice": http1("GET / HTTP/1.1", [HOST, HOST], ""),
  "a Host with user information": http1("GET / HTTP/1.1", [`Host: a@${SERVER}`], ""),
  "a Host of a list": http1("GET / HTTP/1.1", [`${HOST}, b.example.net`], ""),
  "an absolute target unlike Host": http1(`GET https://b.example.net/ HTTP/1.1`, [HOST], ""),
  "Host unlike the absolute target": http1(`GET https://${SERVER}/ HTTP/1.1`, ["Host: b.example.net"], ""),
  "another scheme": http1(`GET ftp://${SERVER}/ HTTP/1.1`, [HOST], ""),
  "a target of no form": http1("GET a HTTP/1.1", [HOST], ""),
  "a fragment": http1("GET /a#b HTTP/1.1", [HOST], ""),
  "another version": http1("GET / HTTP/1.2", [HOST], ""),
  "a method that is no token": http1("G(T / HTTP/1.1", [HOST], ""),
  CONNECT: http1(`CONNECT ${SERVER}:443 HTTP/1.1`, [HOST], ""),
  "another site's name": http1("GET / HTTP/1.1", ["Host: b.example.net"], "")
}

/** Heads that are right, with chunks that are not: the request is cut off, and nothing behind it is one. */
export const HTTP1_BODIES: Readonly<Record<string, string>> = {
  "a chunk size with a sign": chunked(`+0\r\n\r\n${SMUGGLED}`),
  "a chunk size in hexadecimal with a prefix": chunked(`0x0\r\n\r\n${SMUGGLED}`),
  "a chunk size of more than numbers hold": chunked(`${"f".repeat(20)}\r\n\r\n${SMUGGLED}`),
  "a chunk that is longer than its size": chunked(`1\r\nab\r\n0\r\n\r\n${SMUGGLED}`),
  "a chunk size that ends in LF": chunked(`0\n\r\n${SMUGGLED}`)
}

const without = (name: string): Fields => pseudo({ [name]: undefined })

/** Each as a request's HEADERS that end its stream. */
export const HTTP2_REQUESTS: Readonly<Record<string, Fields>> = {
  "no :method": without(":method"),
  "no :scheme": without(":scheme"),
  "no :path": without(":path"),
  "no authority at all": without(":authority"),
  "two :path": [...pseudo(), ":path", "/admin"],
  "two :authority": [...pseudo(), ":authority", "b.example.net"],
  "a pseudo-header behind a field": [...without(":path"), "x", "1", ":path", "/"],
  "an unknown pseudo-header": [...pseudo(), ":smuggled", "1"],
  "a response's pseudo-header": [...pseudo(), ":status", "200"],
  "an empty :path": pseudo({ ":path": "" }),
  "an absolute :path": pseudo({ ":path": "https://b.example.net/" }),
  "CRLF in :path": pseudo({ ":path": `/ HTTP/1.1\r\nHost: ${SERVER}\r\n\r\nGET /smuggled` }),
  "a space in :path": pseudo({ ":path": "/ HTTP/1.1" }),
  "a fragment in :path": pseudo({ ":path": "/a#b" }),
  "CRLF in :method": pseudo({ ":method": "GET / HTTP/1.1\r\nX: 1" }),
  "a space in :method": pseudo({ ":method": "GET /admin" }),
  "CRLF in :authority": pseudo({ ":authority": `${SERVER}\r\nX: 1` }),
  "user information in :authority": pseudo({ ":authority": `a@${SERVER}` }),
  "another scheme": pseudo({ ":scheme": "ftp" }),
  "CRLF in :scheme": pseudo({ ":scheme": "https\r\nX: 1" }),
  "host unlike :authority": [...pseudo(), "host", "b.example.net"],
  "two host": [...pseudo(), "host", SERVER, "host", SERVER],
  "transfer-encoding": [...pseudo(), "transfer-encoding", "chunked"],
  connection: [...pseudo(), "connection", "close"],
  upgrade: [...pseudo(), "upgrade", "h2c"],
  "te of chunks": [...pseudo(), "te", "chunked"],
  "two lengths": [...pseudo(), "content-length", "0", "content-length", "0"],
  "a length without a body": [...pseudo(), "content-length", "5"],
  "upper case in a name": [...pseudo(), "X-Smuggled", "1"],
  CONNECT: [":method", "CONNECT", ":authority", `${SERVER}:443`],
  "CONNECT for another protocol": pseudo({ ":method": "CONNECT", ":protocol": "connect-tcp" }),
  ":protocol without CONNECT": pseudo({ ":protocol": "websocket" }),
  "another site's name": pseudo({ ":authority": "b.example.net" })
}

/**
 * Fields that would be two in HTTP/1.1, or none. Node's library leaves them out without a word where it can, so that the
 * request goes on without them; what must not go on is any of what they hold.
 */
export const HTTP2_FIELDS: Readonly<Record<string, readonly [name: string, value: string]>> = {
  "CRLF in a value": ["x", "1\r\nx-smuggled: 1"],
  "LF in a value": ["x", "1\nx-smuggled: 1"],
  "CR in a value": ["x", "1\rx-smuggled: 1"],
  "NUL in a value": ["x-smuggled", "1\0"],
  "white space around a value": ["x-smuggled", " 1"],
  "CRLF in a name": ["x: 1\r\nx-smuggled", "1"],
  "a colon in a name": ["x-smuggled:", "1"],
  "a space in a name": ["x-smuggled 1", "1"],
  "no name": ["", "x-smuggled"]
}
