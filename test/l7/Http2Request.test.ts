import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { FIELD_LIST_BYTES_MAX, fieldListBytes } from "../../src/l7/Fields.ts"
import { customField, fieldValue, flat } from "./RandomFields.ts"
import { headOf, http1, http2, http2WithBody, pseudo, SERVER, statusOf } from "./Requests.ts"

const refuses = (status: number, ...raw: ReadonlyArray<string>) =>
  assert.strictEqual(statusOf(http2(...raw)), status, raw.join(" "))

describe("pseudo-headers", () => {
  it("are taken in any order", () => {
    const all = [":method", ":scheme", ":authority", ":path"] as const
    const values = { ":method": "GET", ":scheme": "http", ":authority": SERVER, ":path": "/a" }
    fc.assert(
      fc.property(fc.shuffledSubarray([...all], { minLength: 4 }), (names) => {
        const head = headOf(http2(...names.flatMap((name) => [name, values[name]]), "x", "1"))
        assert.deepStrictEqual([head.method, head.authority, head.path, head.fields], ["GET", SERVER, "/a", ["x", "1"]])
      })
    )
  })

  it("are refused where one is missing, repeated, unknown, late or in capitals", () => {
    for (const name of [":method", ":scheme", ":authority", ":path"]) {
      refuses(400, ...pseudo({ [name]: undefined }))
      refuses(400, ...pseudo(), name, "GET")
      refuses(400, ...pseudo({ [name]: undefined }), "x", "1", name, pseudo()[pseudo().indexOf(name) + 1]!)
    }
    refuses(400, ...pseudo(), ":status", "200")
    refuses(400, ...pseudo(), ":Path", "/")
    refuses(400, ...pseudo(), ":", "/")
  })

  it("are refused with a value of no such form", () => {
    for (const path of ["", "a", "*", "/a b", "/a\r\nb", "/#", "http://a/"]) refuses(400, ...pseudo({ ":path": path }))
    for (const method of ["", "G T", "GET\r\n"]) refuses(400, ...pseudo({ ":method": method }))
    for (const scheme of ["", "ftp", "https\r\n", "javascript"]) refuses(400, ...pseudo({ ":scheme": scheme }))
    for (const name of ["", "a b", "a@b", "a\r\n"]) refuses(400, ...pseudo({ ":authority": name }))
  })
})

describe("authority", () => {
  it("is host where :authority is not there, and has to agree where both are", () => {
    assert.strictEqual(headOf(http2(...pseudo({ ":authority": undefined }), "host", SERVER)).authority, SERVER)
    assert.deepStrictEqual(headOf(http2(...pseudo(), "host", SERVER.toUpperCase())).fields, [])
    refuses(400, ...pseudo(), "host", "b.example.net")
    refuses(400, ...pseudo(), "host", "")
    refuses(400, ...pseudo(), "host", SERVER, "host", SERVER)
    refuses(421, ...pseudo({ ":authority": "b.example.net" }))
    refuses(421, ...pseudo({ ":authority": "b.example.net" }), "host", "b.example.net")
  })
})

describe("CONNECT", () => {
  const connect = (protocol: string, ...fields: ReadonlyArray<string>) =>
    http2WithBody(...pseudo({ ":method": "CONNECT", ":protocol": protocol, ":path": "/chat" }), ...fields)

  it("stands for the handshake of a WebSocket", () => {
    const head = headOf(connect("websocket", "sec-websocket-version", "13"))
    assert.deepStrictEqual(head, {
      method: "GET",
      authority: SERVER,
      path: "/chat",
      fields: ["sec-websocket-version", "13"],
      isWebSocket: true,
      hasBody: true,
      contentLength: undefined
    })
  })

  it("is refused for anything else", () => {
    refuses(405, ":method", "CONNECT", ":authority", `${SERVER}:443`)
    assert.strictEqual(statusOf(connect("connect-udp")), 501)
    assert.strictEqual(statusOf(connect("websocket", "content-length", "3")), 400)
    refuses(400, ...pseudo({ ":method": "CONNECT", ":protocol": "websocket" }))
    refuses(400, ...pseudo({ ":method": "CONNECT", ":protocol": "websocket", ":path": undefined }))
    refuses(400, ...pseudo({ ":method": "GET", ":protocol": "websocket" }))
  })
})

describe("fields", () => {
  it("are refused where only HTTP/1.1 has them, or where they would end a line there", () => {
    for (const name of ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]) {
      refuses(400, ...pseudo(), name, "x")
    }
    refuses(400, ...pseudo(), "te", "gzip")
    refuses(400, ...pseudo(), "te", "trailers, gzip")
    for (const value of ["a\r\nb: c", "a\nb", "a\rb", "a\0b", " a", "a\t"]) refuses(400, ...pseudo(), "x", value)
    for (const name of ["", "X", "a b", "a\r\nb", "a\0", "a:b"]) refuses(400, ...pseudo(), name, "1")
    assert.deepStrictEqual(headOf(http2(...pseudo(), "te", "trailers")).fields, ["te", "trailers"])
  })

  it("are refused with 431 from the first byte over the limit on", () => {
    const room = FIELD_LIST_BYTES_MAX - fieldListBytes([...pseudo(), "x", ""])
    assert.strictEqual(statusOf(http2(...pseudo(), "x", "a".repeat(room))), 0)
    refuses(431, ...pseudo(), "x", "a".repeat(room + 1))
  })

  it("have one cookie, of all that came", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(customField, fc.tuple(fc.constant("cookie"), fieldValue)), { maxLength: 8 }),
        (list) => {
          const { fields } = headOf(http2(...pseudo(), ...flat(list)))
          const cookies = list.filter(([name]) => name === "cookie").map(([, value]) => value)
          const others = list.filter(([name]) => name !== "cookie")
          const found = fields.flatMap((text, i) => (i % 2 === 0 && text === "cookie" ? [fields[i + 1]!] : []))
          assert.deepStrictEqual(found, cookies.length === 0 ? [] : [cookies.join("; ")])
          assert.deepStrictEqual(
            fields.filter((_, i) => fields[i - (i % 2)] !== "cookie"),
            flat(others)
          )
        }
      )
    )
  })
})

it("knows from the end of the stream whether a body follows, and refuses a length that contradicts it", () => {
  const { contentLength, hasBody } = headOf(http2WithBody(...pseudo(), "content-length", "5"))
  assert.deepStrictEqual([hasBody, contentLength], [true, 5])
  assert.isTrue(headOf(http2WithBody(...pseudo())).hasBody)
  assert.isFalse(headOf(http2(...pseudo(), "content-length", "0")).hasBody)
  refuses(400, ...pseudo(), "content-length", "5")
  refuses(400, ...pseudo(), "content-length", "0", "content-length", "0")
})

it("reads what HTTP/1.1 says in its way to the same request", () => {
  const list = fc.array(customField, { maxLength: 6 })
  const method = fc.constantFrom("GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND")
  const path = fc.constantFrom("/", "/a?b=c", "/%2e%2e/")
  const authority = fc.constantFrom("api.example.net", "API.example.net.:443", "b.example.net", "a b")
  fc.assert(
    fc.property(list, method, path, authority, (fields, verb, target, name) => {
      const old = http1(`${verb} ${target} HTTP/1.1`, ...flat(fields), "Host", name, "Connection", "close")
      const raw = pseudo({ ":method": verb, ":path": target, ":authority": name })
      assert.deepStrictEqual(http2(...raw, ...flat(fields)), old)
    })
  )
})
