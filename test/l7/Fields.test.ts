import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import {
  countOf,
  endToEnd,
  endToEndTrailers,
  fieldListBytes,
  fieldOf,
  hasToken,
  listsToken
} from "../../src/l7/Fields.ts"
import { anyCase, customField, customName, fieldValue, flat, pairs, type Field } from "./RandomFields.ts"

const HOP_BY_HOP = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]

const hopByHop = fc
  .constantFrom(...HOP_BY_HOP)
  .chain((name): fc.Arbitrary<Field> => fc.tuple(anyCase(name), fc.constantFrom("close", "x", "gzip, trailers;q=1")))

const fields = fc.array(fc.oneof(customField, hopByHop), { maxLength: 12 })

describe("endToEnd", () => {
  it("keeps every field that is neither hop-by-hop nor named by Connection, in its order, in lower case", () => {
    fc.assert(
      fc.property(fields, (list) => {
        const kept = pairs(endToEnd(flat(list))).filter(([name]) => name !== "te")
        const expected = list
          .map(([name, value]): Field => [name.toLowerCase(), value])
          .filter(([name]) => !HOP_BY_HOP.includes(name))
        assert.deepStrictEqual(kept, expected)
      })
    )
  })

  it("removes what Connection names, wherever it stands and however it is written", () => {
    fc.assert(
      fc.property(
        fc.array(customField, { maxLength: 8 }),
        customName,
        fieldValue,
        fc.nat(),
        (list, name, value, at) => {
          const others = list.filter(([other]) => other !== name)
          const whole = [...others]
          whole.splice(at % (whole.length + 1), 0, [name.toUpperCase(), value])
          const connection: Field = ["Connection", ` keep-alive ,\t${name}, , close`]
          for (const all of [
            [connection, ...whole],
            [...whole, connection]
          ]) {
            assert.deepStrictEqual(endToEnd(flat(all)), flat(others))
          }
        }
      )
    )
  })

  it("changes nothing about what it has made before", () => {
    fc.assert(
      fc.property(fields, (list) => {
        const once = endToEnd(flat(list))
        assert.deepStrictEqual(endToEnd(once), once)
      })
    )
  })

  it("keeps te as one field that says trailers, and as nothing else", () => {
    assert.deepStrictEqual(endToEnd(["TE", "gzip", "a", "1", "TE", "Trailers;q=0.5", "te", "trailers"]), [
      "a",
      "1",
      "te",
      "trailers"
    ])
    assert.deepStrictEqual(endToEnd(["te", "gzip;q=1, deflate"]), [])
    assert.deepStrictEqual(endToEnd(["connection", "te", "te", "trailers"]), ["te", "trailers"])
  })

  it("takes pseudo-headers and host out, which have a place of their own", () => {
    assert.deepStrictEqual(endToEnd([":path", "/", "Host", "a", "host", "b", "x", "1"]), ["x", "1"])
  })

  it("takes out what was left of an offer to upgrade to HTTP/2", () => {
    assert.deepStrictEqual(endToEnd(["HTTP2-Settings", "AAMAAABkAAQAAP__", "x", "1"]), ["x", "1"])
  })

  it("does not let Connection remove the length of the body", () => {
    assert.deepStrictEqual(endToEnd(["Connection", "content-length", "Content-Length", "5"]), ["content-length", "5"])
  })
})

describe("endToEndTrailers", () => {
  it("removes what frames, routes or vouches for a message", () => {
    const forbidden = [
      "Content-Length",
      "Transfer-Encoding",
      "Host",
      "X-Forwarded-For",
      "Forwarded",
      "X-Real-IP",
      ":path"
    ]
    const raw = ["Grpc-Status", "0", ...forbidden.flatMap((name) => [name, "1"]), "checksum", "x"]
    assert.deepStrictEqual(endToEndTrailers(raw), ["grpc-status", "0", "checksum", "x"])
  })
})

describe("look-ups", () => {
  it("find by name what a walk over pairs finds", () => {
    const few = fc.array(fc.tuple(fc.constantFrom("a", "B", "b", "Ab"), fieldValue), { maxLength: 6 })
    fc.assert(
      fc.property(few, fc.constantFrom("a", "b", "ab", "c"), (list, name) => {
        const found = list.filter(([other]) => other.toLowerCase() === name)
        assert.strictEqual(fieldOf(flat(list), name), found[0]?.[1])
        assert.strictEqual(countOf(flat(list), name), found.length)
      })
    )
  })

  it("find a token in a list by itself, without case, parameters and white space", () => {
    for (const list of ["websocket", "h2c, WebSocket", "\twebsocket ;v=1,h2c"])
      assert.isTrue(hasToken(list, "websocket"))
    for (const list of ["", "websockets", "web socket", "h2c;websocket"]) assert.isFalse(hasToken(list, "websocket"))
    assert.isTrue(listsToken(["Connection", "close", "connection", "Upgrade"], "connection", "upgrade"))
    assert.isFalse(listsToken(["x-connection", "upgrade"], "connection", "upgrade"))
  })
})

it("counts name, value and 32 bytes for each field", () => {
  assert.strictEqual(fieldListBytes([]), 0)
  assert.strictEqual(fieldListBytes([":path", "/abc", "x", ""]), 5 + 4 + 32 + 1 + 32)
})
