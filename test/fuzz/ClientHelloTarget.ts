/** The hello is read alike in any split, within its bytes and its limit, and in records of any other size. */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict"
import { ClientHelloReader, type HelloRead } from "../../src/tls/ClientHello.ts"
import { inRecords, outOfRecords } from "../tls/TlsBuilder.ts"
import { readWithinBounds } from "./GuardedBytes.ts"
import type { Target } from "./Target.ts"

const LIMIT = 65_536

const readWhole = (bytes: Uint8Array, bytesMax = LIMIT): HelloRead => new ClientHelloReader(bytesMax).read(bytes)

/** The verdict, and after how many of the bytes, when they come one by one. */
const readByteByByte = (bytes: Uint8Array): readonly [HelloRead, shown: number] => {
  const reader = new ClientHelloReader(LIMIT)
  for (let shown = 0; shown <= bytes.length; shown++) {
    const read = reader.read(bytes.subarray(0, shown))
    if (read._tag !== "NeedMore") return [read, shown]
  }
  return [{ _tag: "NeedMore" }, bytes.length + 1]
}

const check = (bytes: Uint8Array): string => {
  const whole = readWithinBounds(bytes, readWhole)
  const [split, shown] = readWithinBounds(bytes, readByteByByte)
  deepStrictEqual(split, whole)
  if (whole._tag === "NeedMore") return "NeedMore"
  if (whole._tag === "Refused" && whole.outcome !== "no_sni") return whole.outcome
  // The message was read to its end.
  const hello = bytes.subarray(0, shown)
  deepStrictEqual(readWhole(bytes, shown), whole)
  deepStrictEqual(readWhole(hello, shown - 1), { _tag: "Refused", outcome: "hello_too_large" })
  const payload = outOfRecords(hello)
  for (const size of [1, 7, 16_384]) {
    const records = inRecords(payload, [size])
    deepStrictEqual(readWhole(records, records.length), whole)
  }
  if (whole._tag === "Refused") return whole.outcome
  strictEqual(whole.serverName, whole.serverName.toLowerCase())
  ok(Buffer.from(payload).toString("latin1").toLowerCase().includes(whole.serverName))
  return "Hello"
}

export const clientHelloTarget: Target = {
  name: "client-hello",
  bytesMax: 600,
  dictionary: [
    "\x16\x03\x01\x00\x01",
    "\x16\x03\x03\x00\x40",
    "\x01\x00\x00\x2b\x03\x03",
    "\x02\x13\x01",
    "\x01\x00",
    "\x00\x00\x00\x06\x00\x04\x00\x00\x01a",
    "\x00\x00\x00\x02\x00\x00",
    "\x00\x17\x00\x00",
    "\x00\x00\x01a",
    "\x15\x03\x01",
    "a.test",
    "192.0.2.1",
    "\x20",
    "\xff\xff"
  ],
  check
}
