/** Encodes PROXY protocol headers for tests, well-formed or not, and reads TLVs without the code under test. */
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { formatSocketAddress, type SocketAddress } from "../../src/net/SocketAddress.ts"
import { readProxyHeader } from "../../src/proxyproto/ProxyHeader.ts"
import type { ProxyRead } from "../../src/proxyproto/ProxyRead.ts"
import { concat, uint16 } from "../tls/TlsBuilder.ts"

export const SIGNATURE = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10)

/** A v2 header with any command, family and body, its length right. */
export const v2 = (command: number, family: number, ...body: ReadonlyArray<Uint8Array>): Uint8Array => {
  const rest = concat(...body)
  return concat(SIGNATURE, Uint8Array.of(command, family), uint16(rest.length), rest)
}

export const tlv = (type: number, value: Uint8Array): Uint8Array =>
  concat(Uint8Array.of(type), uint16(value.length), value)

/** The TLVs from `start` on, as pairs of type and value. */
export const tlvsOf = (header: Uint8Array, start: number): Array<readonly [type: number, value: Uint8Array]> => {
  const found: Array<readonly [number, Uint8Array]> = []
  for (let at = start; at < header.length;) {
    const end = at + 3 + header[at + 1]! * 256 + header[at + 2]!
    found.push([header[at]!, Uint8Array.from(header.subarray(at + 3, end))])
    at = end
  }
  return found
}

/** A copy of `header` whose CRC32C TLV, with its value at `at`, is right: bit by bit, by the polynomial's definition. */
export const withChecksum = (header: Uint8Array, at: number): Uint8Array => {
  const sealed = Uint8Array.from(header).fill(0, at, at + 4)
  let crc = 0xffffffff
  for (const byte of sealed) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  new DataView(sealed.buffer).setUint32(at, ~crc >>> 0)
  return sealed
}

export const address = (ip: string, port: number): SocketAddress => ({ ip: parseIpAddress(ip)!, port })

/** `"NeedMore"`, the reason, or `"LENGTH client -> destination"`. */
export const describeRead = (read: ProxyRead): string => {
  if (read._tag === "NeedMore") return "NeedMore"
  if (read._tag === "Invalid") return read.reason
  const text = (end: SocketAddress | undefined) => (end === undefined ? "none" : formatSocketAddress(end))
  return `${read.length} ${text(read.client)} -> ${text(read.destination)}${read.local ? " local" : ""}`
}

export const readText = (bytes: Uint8Array): string => describeRead(readProxyHeader(bytes))

/** How many bytes had to be shown for a verdict; one more than there are when there was none. */
export const verdictAt = (bytes: Uint8Array): number => {
  let shown = 0
  while (shown <= bytes.length && readProxyHeader(bytes.subarray(0, shown))._tag === "NeedMore") shown++
  return shown
}
