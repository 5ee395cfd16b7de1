/** Requests in the form in which Node gives them, for the two readers. */
import { Result } from "effect"
import { readHttp1Request } from "../../src/l7/Http1Request.ts"
import { readHttp2Request } from "../../src/l7/Http2Request.ts"
import type { Fields, RequestHead } from "../../src/l7/Message.ts"
import type { RequestRead } from "../../src/l7/RequestRead.ts"
import { parseHostname } from "../../src/snapshot/Hostname.ts"

export const SERVER = Result.getOrThrow(parseHostname("api.example.net"))

/** `line`: method, target and version; `Host` is not added. */
export const http1 = (line: string, ...rawHeaders: ReadonlyArray<string>): RequestRead => {
  const [method = "", url = "", version = "HTTP/1.1"] = line.split(" ")
  return readHttp1Request({ method, url, httpVersion: version.slice(5), rawHeaders: [...rawHeaders] }, SERVER)
}

/** The pseudo-headers of an ordinary request, some of them replaced, or left out where `undefined`. */
export const pseudo = (changes: Readonly<Record<string, string | undefined>> = {}): Fields =>
  Object.entries({ ":method": "GET", ":scheme": "https", ":authority": SERVER, ":path": "/", ...changes }).flatMap(
    ([name, value]) => (value === undefined ? [] : [name, value])
  )

/** Without a body. */
export const http2 = (...raw: ReadonlyArray<string>): RequestRead => readHttp2Request(raw, true, SERVER)

/** With one. */
export const http2WithBody = (...raw: ReadonlyArray<string>): RequestRead => readHttp2Request(raw, false, SERVER)

/** The status of a refusal; 0 where there is none. */
export const statusOf = (read: RequestRead): number => (read._tag === "Refused" ? read.status : 0)

export const headOf = (read: RequestRead): RequestHead => {
  if (read._tag === "Request") return read.head
  throw new Error(`Refused: ${read.status} ${read.reason}`)
}
