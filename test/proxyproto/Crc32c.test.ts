import { assert, it } from "@effect/vitest"
import { CRC32C_START, crc32cFinish, crc32cUpdate } from "../../src/proxyproto/Crc32c.ts"

const crc32c = (bytes: Uint8Array): number => crc32cFinish(crc32cUpdate(CRC32C_START, bytes, 0, bytes.length))

it("gives the checksums of RFC 3720 B.4", () => {
  assert.strictEqual(crc32c(new Uint8Array(32)), 0x8a9136aa)
  assert.strictEqual(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43)
  assert.strictEqual(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
})

it("gives the check value of its polynomial, in one piece or several", () => {
  const digits = Buffer.from("123456789")
  const half = crc32cUpdate(CRC32C_START, digits, 0, 4)
  assert.strictEqual(crc32c(digits), 0xe3069283)
  assert.strictEqual(crc32cFinish(crc32cUpdate(half, digits, 4, 9)), 0xe3069283)
  assert.strictEqual(crc32c(new Uint8Array(0)), 0)
})
