import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { acceptOf, isKey, newKey } from "../../src/l7/WebSocketKey.ts"

it("answers the handshake of RFC 6455 1.3 as it stands there", () => {
  assert.strictEqual(acceptOf("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
})

it("makes keys that are keys, another each time", () => {
  const keys = Array.from({ length: 50 }, newKey)
  assert.isTrue(keys.every(isKey))
  assert.strictEqual(new Set(keys).size, keys.length)
})

it("takes the base64 of 16 bytes for a key, and of no other number", () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  fc.assert(
    fc.property(bytes, (drawn) => {
      assert.strictEqual(isKey(Buffer.from(drawn).toString("base64")), drawn.length === 16)
    })
  )
})

it("takes no text that a lenient reader would take for one", () => {
  const key = "dGhlIHNhbXBsZSBub25jZQ=="
  assert.isTrue(isKey(key))
  const spoilt = [key.slice(0, -1), `${key}=`, ` ${key.slice(1)}`, key.replace("G", "\n"), "dGhlIHNhbXBsZSBub25jZR=="]
  for (const text of spoilt) assert.isFalse(isKey(text), text)
})
