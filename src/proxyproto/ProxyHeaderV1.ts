/**
 * Version 1 of the PROXY protocol: one line of text, `PROXY TCP4 192.0.2.1 198.51.100.2 56324 443`, ended by CRLF.
 *
 * Read strictly: one space between fields, decimal ports without leading zeros, addresses of the stated family. The
 * keyword, a byte that no field has and a line too long are refused as they show; the fields once the line is whole.
 */
import { Buffer } from "node:buffer"
import { parseIpAddress } from "../net/IpAddress.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { NEED_MORE, invalid, type ProxyRead } from "./ProxyRead.ts"

/** The longest line with its CRLF: UNKNOWN with two IPv6 addresses written out. */
export const PROXY_V1_BYTES_MAX = 107

/** `bytes` is not empty. */
export const readProxyHeaderV1 = (bytes: Uint8Array): ProxyRead => {
  const keyword = KEYWORDS.find(({ text }) => agrees(bytes, text))
  if (keyword === undefined) return BAD_KEYWORD
  const start = keyword.text.length
  if (bytes.length < start) return NEED_MORE
  return keyword.family === undefined ? readUnknown(bytes) : readTcp(bytes, start, keyword.family)
}

/** Whether as much as has come of `bytes` is the start of `text`. */
const agrees = (bytes: Uint8Array, text: Uint8Array): boolean => {
  const shown = Math.min(bytes.length, text.length)
  for (let i = 0; i < shown; i++) if (bytes[i] !== text[i]) return false
  return true
}

/** Anything may stand before the CRLF, a lone CR or LF included. */
const readUnknown = (bytes: Uint8Array): ProxyRead => {
  for (let at = UNKNOWN_LENGTH; at <= CR_AT_MAX; at++) {
    if (at === bytes.length) return NEED_MORE
    if (bytes[at] !== CR) continue
    if (at + 1 === bytes.length) return NEED_MORE
    if (bytes[at + 1] === LF) {
      return { _tag: "Header", length: at + 2, client: undefined, destination: undefined, local: true }
    }
  }
  return NO_LINE_END
}

const readTcp = (bytes: Uint8Array, start: number, family: 4 | 6): ProxyRead => {
  let at = start
  while (at < bytes.length && at <= CR_AT_MAX && isFieldByte(bytes[at]!)) at++
  if (at > CR_AT_MAX) return NO_LINE_END
  if (at === bytes.length) return NEED_MORE
  if (bytes[at] !== CR) return BAD_BYTE
  if (at + 1 === bytes.length) return NEED_MORE
  if (bytes[at + 1] !== LF) return BAD_BYTE
  const fields = Buffer.from(bytes.buffer, bytes.byteOffset + start, at - start).toString("latin1")
  const [client, destination] = readEnds(fields.split(" "), family)
  if (client === undefined || destination === undefined) return BAD_FIELDS
  return { _tag: "Header", length: at + 2, client, destination, local: false }
}

/** A hexadecimal digit, or one of dot, colon and space. */
const isFieldByte = (byte: number): boolean => {
  const lower = byte | 0x20
  return (byte >= ZERO && byte <= COLON) || byte === DOT || byte === SPACE || (lower >= 0x61 && lower <= 0x66)
}

/** Source address, destination address, source port, destination port. */
const readEnds = (fields: ReadonlyArray<string>, family: 4 | 6) => {
  const [clientIp, destinationIp, clientPort, destinationPort] = fields
  return fields.length === 4
    ? [readEnd(clientIp!, clientPort!, family), readEnd(destinationIp!, destinationPort!, family)]
    : []
}

const readEnd = (address: string, port: string, family: 4 | 6): SocketAddress | undefined => {
  // The family is that of the text: an IPv4-mapped address is written, and announced, as IPv6.
  if (address.includes(":") !== (family === 6)) return undefined
  const ip = parseIpAddress(address)
  return ip === undefined || !PORT.test(port) || Number(port) > 65535 ? undefined : { ip, port: Number(port) }
}

const BAD_KEYWORD = invalid("does not start as PROXY TCP4, PROXY TCP6 or PROXY UNKNOWN")
const BAD_BYTE = invalid("has a byte that no address or port has, or a CR or LF alone")
const BAD_FIELDS = invalid("is not two addresses of its family and two ports, one space apart")
const NO_LINE_END = invalid(`has no CRLF within ${PROXY_V1_BYTES_MAX} bytes`)

const UNKNOWN_LENGTH = "PROXY UNKNOWN".length
/** UNKNOWN stands twice, so that no other letter may follow it. */
const KEYWORDS: ReadonlyArray<{ readonly text: Uint8Array; readonly family: 4 | 6 | undefined }> = [
  { text: Buffer.from("PROXY TCP4 ", "latin1"), family: 4 },
  { text: Buffer.from("PROXY TCP6 ", "latin1"), family: 6 },
  { text: Buffer.from("PROXY UNKNOWN ", "latin1"), family: undefined },
  { text: Buffer.from("PROXY UNKNOWN\r\n", "latin1"), family: undefined }
]
/** The last offset at which the line's CR may stand. */
const CR_AT_MAX = PROXY_V1_BYTES_MAX - 2
const PORT = /^(?:0|[1-9][0-9]{0,4})$/

const CR = 0x0d
const LF = 0x0a
const SPACE = 0x20
const DOT = 0x2e
const ZERO = 0x30
const COLON = 0x3a
