import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { FIELD_LIST_BYTES_MAX, fieldListBytes } from "../../src/l7/Fields.ts"
import { asksForWebSocket } from "../../src/l7/Http1Request.ts"
import { customField, flat } from "./RandomFields.ts"
import { headOf, http1, statusOf } from "./Requests.ts"

const HOST = ["Host", "api.example.net"]
const KEY = ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="]
const UPGRADE = [...HOST, "Connection", "keep-alive, Upgrade", "Upgrade", "WebSocket", ...KEY]

describe("targets", () => {
  it("passes path and query on as they are", () => {
    for (const path of ["/", "/a/../b//c?x=%2f&y", "//a", "/?a?b", "/ü"]) {
      assert.strictEqual(headOf(http1(`GET ${path} HTTP/1.1`, ...HOST)).path, path)
    }
  })

  it("takes the authority of an absolute target that Host says as well", () => {
    const head = headOf(http1("GET HTTP://API.example.net:8443/a?b HTTP/1.1", "Host", "api.EXAMPLE.net:8443"))
    assert.strictEqual(head.authority, "API.example.net:8443")
    assert.strictEqual(head.path, "/a?b")
    assert.strictEqual(headOf(http1("GET https://api.example.net HTTP/1.1", ...HOST)).path, "/")
    assert.strictEqual(headOf(http1("GET https://api.example.net?a HTTP/1.1", ...HOST)).path, "/?a")
    assert.strictEqual(headOf(http1("OPTIONS https://api.example.net HTTP/1.1", ...HOST)).path, "*")
    assert.strictEqual(headOf(http1("OPTIONS * HTTP/1.1", ...HOST)).path, "*")
  })

  it("refuses every other form", () => {
    const targets = [
      "*",
      "a",
      "api.example.net:443",
      "ftp://api.example.net/",
      "https:/a",
      "https:///a",
      "/a#b",
      "/a\x7fb"
    ]
    for (const target of [...targets, "https://u@api.example.net/", "https://api.example.net#a", ""]) {
      assert.strictEqual(statusOf(http1(`GET ${target} HTTP/1.1`, ...HOST)), 400, target)
    }
    assert.strictEqual(statusOf(http1("OPTIONS *a HTTP/1.1", ...HOST)), 400)
  })

  it("refuses CONNECT with 405, whatever its target", () => {
    assert.strictEqual(statusOf(http1("CONNECT api.example.net:443 HTTP/1.1", ...HOST)), 405)
    assert.strictEqual(statusOf(http1("CONNECT / HTTP/1.1", ...UPGRADE)), 405)
  })

  it("refuses versions and methods that are none", () => {
    for (const line of ["GET / HTTP/0.9", "GET / HTTP/2.0", "G(T / HTTP/1.1"]) {
      assert.strictEqual(statusOf(http1(line, ...HOST)), 400, line)
    }
  })
})

describe("authority", () => {
  it("refuses a Host that is missing, repeated, malformed or unlike the target's", () => {
    assert.strictEqual(statusOf(http1("GET / HTTP/1.1")), 400)
    assert.strictEqual(statusOf(http1("GET / HTTP/1.0")), 400)
    assert.strictEqual(statusOf(http1("GET / HTTP/1.1", ...HOST, "host", "api.example.net")), 400)
    assert.strictEqual(statusOf(http1("GET / HTTP/1.1", "Host", "")), 400)
    assert.strictEqual(statusOf(http1("GET / HTTP/1.1", "Host", "api.example.net/")), 400)
    assert.strictEqual(statusOf(http1("GET https://api.example.net/ HTTP/1.1")), 400)
    assert.strictEqual(statusOf(http1("GET https://api.example.net/ HTTP/1.1", "Host", "b.example.net")), 400)
    assert.strictEqual(statusOf(http1("GET https://b.example.net/ HTTP/1.1", ...HOST)), 400)
  })

  it("takes HTTP/1.0 with a Host, or with an absolute target in its place", () => {
    assert.strictEqual(statusOf(http1("GET / HTTP/1.0", ...HOST)), 0)
    assert.strictEqual(headOf(http1("GET https://api.example.net/ HTTP/1.0")).authority, "api.example.net")
  })

  it("answers 421 for another name than the connection's", () => {
    assert.strictEqual(statusOf(http1("GET / HTTP/1.1", "Host", "b.example.net")), 421)
    assert.strictEqual(statusOf(http1("GET / HTTP/1.1", "Host", "API.example.net.:8443")), 0)
  })
})

describe("bodies", () => {
  const framing = (...fields: ReadonlyArray<string>) => {
    const { contentLength, hasBody } = headOf(http1("POST / HTTP/1.1", ...HOST, ...fields))
    return [hasBody, contentLength]
  }

  it("follow where a length or chunks say so", () => {
    assert.deepStrictEqual(framing(), [false, undefined])
    assert.deepStrictEqual(framing("Content-Length", "0"), [false, 0])
    assert.deepStrictEqual(framing("Content-Length", "0012"), [true, 12])
    assert.deepStrictEqual(framing("Transfer-Encoding", "Chunked"), [true, undefined])
  })

  it("are refused where two readers could see their end in different places", () => {
    const conflicts = [
      ["Content-Length", "5", "Content-Length", "6"],
      ["Content-Length", "5", "content-length", "5"],
      ["Content-Length", "5, 5"],
      ["Content-Length", "+5"],
      ["Content-Length", "0x5"],
      ["Content-Length", ""],
      ["Content-Length", "-1"],
      ["Content-Length", "9007199254740993"],
      ["Content-Length", "5", "Transfer-Encoding", "chunked"],
      ["Content-Length", "0", "Transfer-Encoding", "gzip"],
      ["Transfer-Encoding", "chunked, chunked"],
      ["Transfer-Encoding", "gzip, chunked"],
      ["Transfer-Encoding", "chunked", "Transfer-Encoding", "identity"]
    ]
    for (const fields of conflicts) {
      assert.strictEqual(statusOf(http1("POST / HTTP/1.1", ...HOST, ...fields)), 400, fields.join(" "))
    }
    assert.strictEqual(statusOf(http1("POST / HTTP/1.0", ...HOST, "Transfer-Encoding", "chunked")), 400)
  })

  it("are refused with 501 where their coding is unknown", () => {
    for (const coding of ["gzip", "xchunked", "chunked-not", ""]) {
      assert.strictEqual(statusOf(http1("POST / HTTP/1.1", ...HOST, "Transfer-Encoding", coding)), 501, coding)
    }
  })
})

describe("WebSockets", () => {
  it("are asked for by an Upgrade that Connection names", () => {
    const head = headOf(http1("GET /chat HTTP/1.1", ...UPGRADE))
    assert.isTrue(head.isWebSocket)
    assert.isTrue(head.hasBody)
    assert.strictEqual(head.fields.join(), "sec-websocket-key,dGhlIHNhbXBsZSBub25jZQ==")
  })

  it("are not asked for by half a handshake, nor is another protocol", () => {
    const plain = [
      ["POST / HTTP/1.1", ...UPGRADE],
      ["GET / HTTP/1.0", ...UPGRADE],
      ["GET / HTTP/1.1", ...HOST, "Upgrade", "websocket"],
      ["GET / HTTP/1.1", ...HOST, "Connection", "upgrade"],
      [
        "GET / HTTP/1.1",
        ...HOST,
        "Connection",
        "Upgrade, HTTP2-Settings",
        "Upgrade",
        "h2c",
        "HTTP2-Settings",
        "AAMAAABk"
      ]
    ]
    for (const [line = "", ...fields] of plain) {
      const head = headOf(http1(line, ...fields))
      assert.isFalse(head.isWebSocket)
      assert.isFalse(head.hasBody)
      assert.notInclude(head.fields.join(), "h2c")
      const [method = "", url = "", version = ""] = line.split(" ")
      assert.isFalse(asksForWebSocket({ method, url, httpVersion: version.slice(5), rawHeaders: fields }))
    }
  })

  it("are refused without one valid key, and with a body", () => {
    const keyless = UPGRADE.slice(0, -2)
    for (const fields of [keyless, [...UPGRADE, ...KEY], [...keyless, "Sec-WebSocket-Key", "abc"]]) {
      assert.strictEqual(statusOf(http1("GET / HTTP/1.1", ...fields)), 400)
    }
    assert.strictEqual(statusOf(http1("GET / HTTP/1.1", ...UPGRADE, "Content-Length", "3")), 400)
    assert.strictEqual(statusOf(http1("GET / HTTP/1.1", ...UPGRADE, "Transfer-Encoding", "chunked")), 400)
  })
})

describe("fields", () => {
  it("are refused with 431 from the first byte over the limit on, the target counted", () => {
    const base = "GET/".length + fieldListBytes([...HOST, "x", ""])
    const full = (extra: number, path = "/") =>
      http1(`GET ${path} HTTP/1.1`, ...HOST, "x", "a".repeat(FIELD_LIST_BYTES_MAX - base + extra))
    assert.strictEqual(statusOf(full(0)), 0)
    assert.strictEqual(statusOf(full(1)), 431)
    assert.strictEqual(statusOf(full(0, "/a")), 431)
  })

  it("are refused with a name that is none, or a character that ends a line elsewhere", () => {
    for (const letter of ["\0", "\r", "\n", "\x0b", "\x7f"]) {
      assert.strictEqual(statusOf(http1("GET / HTTP/1.1", ...HOST, "x", `a${letter}b`)), 400)
    }
    for (const name of ["", "a b", "a:", "x\tü"]) {
      assert.strictEqual(statusOf(http1("GET / HTTP/1.1", ...HOST, name, "")), 400)
    }
  })

  it("are read to the same request in any order", () => {
    const own = [
      ["Host", "api.example.net"],
      ["Content-Length", "7"],
      ["Connection", "x-hop"],
      ["X-Hop", "1"]
    ] as const
    fc.assert(
      fc.property(
        fc
          .array(customField, { maxLength: 5 })
          .chain((custom) => fc.shuffledSubarray([...own, ...custom], { minLength: own.length + custom.length })),
        (fields) => {
          const head = headOf(http1("PUT /a HTTP/1.1", ...flat(fields)))
          const kept = fields.filter(([name]) => !["Host", "Connection", "X-Hop"].includes(name))
          assert.deepStrictEqual(head, {
            method: "PUT",
            authority: "api.example.net",
            path: "/a",
            fields: kept.flatMap(([name, value]) => [name.toLowerCase(), value]),
            isWebSocket: false,
            hasBody: true,
            contentLength: 7
          })
        }
      )
    )
  })
})
