/**
 * Version 2 of the PROXY protocol: a 16-byte prefix, a block of addresses, and type-length-value triples (TLVs).
 *
 * Read strictly: the TLVs must nest exactly, and a CRC32C among them must be right. What names no TCP address is taken
 * as the specification lets a receiver: a UNIX socket, an unspecified family or protocol, and a datagram protocol
 * (which this receiver has no use for, and so reads as unspecified) leave the peer's own address to count. LOCAL is
 * passed over whatever its block holds. Before the header is whole only the prefix is looked at.
 */
import { Buffer } from "node:buffer"
import { ipv4FromWord, ipv6FromWords, type IpAddress } from "../net/IpAddress.ts"
import type { SocketAddress } from "../net/SocketAddress.ts"
import { HOSTNAME_LENGTH_MAX } from "../snapshot/Hostname.ts"
import { CRC32C_START, crc32cFinish, crc32cUpdate } from "./Crc32c.ts"
import { NEED_MORE, invalid, type ProxyRead } from "./ProxyRead.ts"

/** The longest v2 header, its prefix included: far over what any sender's TLVs need, far below the 64 KiB it can. */
export const PROXY_V2_BYTES_MAX = 16384

/** The longest UNIQUE_ID the specification allows. */
export const UNIQUE_ID_BYTES_MAX = 128

/** What a v2 header says of a connection. */
export interface ProxiedConnection {
  readonly client: SocketAddress
  readonly destination: SocketAddress
  /** The SNI name. */
  readonly authority: string
  /** The connection's id: ASCII, of which at most `UNIQUE_ID_BYTES_MAX` characters are sent. */
  readonly uniqueId: string
}

/** `bytes` is not empty. The prefix is judged in the order of its bytes, the rest once it has all come. */
export const readProxyHeaderV2 = (bytes: Uint8Array): ProxyRead => {
  const shown = bytes.length
  for (let i = 0; i < shown && i < SIGNATURE.length; i++) if (bytes[i] !== SIGNATURE[i]) return BAD_SIGNATURE
  if (shown <= COMMAND_AT) return NEED_MORE
  const command = bytes[COMMAND_AT]!
  if (command !== COMMAND_LOCAL && command !== COMMAND_PROXY) return BAD_COMMAND
  const local = command === COMMAND_LOCAL
  if (shown <= FAMILY_AT) return NEED_MORE
  const family = bytes[FAMILY_AT]! >> 4
  const protocol = bytes[FAMILY_AT]! & 15
  const addressBytes = local ? 0 : ADDRESS_BYTES[family]
  if (addressBytes === undefined || (!local && protocol > PROTOCOL_DGRAM)) return BAD_FAMILY
  if (shown < PREFIX_BYTES) return NEED_MORE
  const length = PREFIX_BYTES + uint16(bytes, LENGTH_AT)
  if (length > PROXY_V2_BYTES_MAX) return TOO_LONG
  if (PREFIX_BYTES + addressBytes > length) return SHORT_ADDRESSES
  if (shown < length) return NEED_MORE
  if (local) return { _tag: "Header", length, client: undefined, destination: undefined, local }
  const problem = checkTlvs(bytes, PREFIX_BYTES + addressBytes, length)
  return problem ?? { _tag: "Header", length, ...readAddresses(bytes, family, protocol), local }
}

/** Walks the TLVs in `bytes[start, end)`, which must end exactly there, and checks the one that is a checksum. */
const checkTlvs = (bytes: Uint8Array, start: number, end: number): ProxyRead | undefined => {
  let checked = false
  for (let at = start; at < end;) {
    if (at + TLV_HEADER_BYTES > end) return BAD_TLVS
    const valueAt = at + TLV_HEADER_BYTES
    const next = valueAt + uint16(bytes, at + 1)
    if (next > end) return BAD_TLVS
    if (bytes[at] === TLV_CRC32C) {
      // At most one, so that a sender cannot have the whole header summed a thousand times.
      if (checked || next - valueAt !== CRC32C_BYTES || !isChecksum(bytes, valueAt, end)) return BAD_CHECKSUM
      checked = true
    }
    at = next
  }
  return undefined
}

/** Whether the word at `at` is the checksum of `bytes[0, end)` with zeros in its own place. */
const isChecksum = (bytes: Uint8Array, at: number, end: number): boolean => {
  const before = crc32cUpdate(CRC32C_START, bytes, 0, at)
  const zeros = crc32cUpdate(before, CRC32C_ZEROS, 0, CRC32C_BYTES)
  return crc32cFinish(crc32cUpdate(zeros, bytes, at + CRC32C_BYTES, end)) === int32(bytes, at) >>> 0
}

const readAddresses = (bytes: Uint8Array, family: number, protocol: number) => {
  if (protocol !== PROTOCOL_STREAM || (family !== FAMILY_INET && family !== FAMILY_INET6)) {
    return { client: undefined, destination: undefined }
  }
  const ipBytes = family === FAMILY_INET ? 4 : 16
  const destinationAt = PREFIX_BYTES + ipBytes
  const portsAt = destinationAt + ipBytes
  return {
    client: { ip: readIp(bytes, PREFIX_BYTES, family), port: uint16(bytes, portsAt) },
    destination: { ip: readIp(bytes, destinationAt, family), port: uint16(bytes, portsAt + 2) }
  }
}

const readIp = (bytes: Uint8Array, at: number, family: number): IpAddress =>
  family === FAMILY_INET
    ? ipv4FromWord(int32(bytes, at))
    : ipv6FromWords(int32(bytes, at), int32(bytes, at + 4), int32(bytes, at + 8), int32(bytes, at + 12))

/** A header for a TCP connection. An IPv4 address beside an IPv6 one goes as IPv4-mapped (RFC 4291 2.5.5.2). */
export const writeProxyHeader = ({ client, destination, authority, uniqueId }: ProxiedConnection): Uint8Array => {
  const family = client.ip.family === 4 && destination.ip.family === 4 ? FAMILY_INET : FAMILY_INET6
  const authorityBytes = Math.min(authority.length, HOSTNAME_LENGTH_MAX)
  const uniqueIdBytes = Math.min(uniqueId.length, UNIQUE_ID_BYTES_MAX)
  const authorityAt = PREFIX_BYTES + ADDRESS_BYTES[family]!
  const uniqueIdAt = authorityAt + TLV_HEADER_BYTES + authorityBytes
  const header = Buffer.allocUnsafe(uniqueIdAt + TLV_HEADER_BYTES + uniqueIdBytes)
  header.set(SIGNATURE)
  header[COMMAND_AT] = COMMAND_PROXY
  header[FAMILY_AT] = (family << 4) | PROTOCOL_STREAM
  header.writeUInt16BE(header.length - PREFIX_BYTES, LENGTH_AT)
  const destinationAt = writeIp(header, PREFIX_BYTES, client.ip, family)
  const portsAt = writeIp(header, destinationAt, destination.ip, family)
  header.writeUInt16BE(client.port, portsAt)
  header.writeUInt16BE(destination.port, portsAt + 2)
  writeTlv(header, authorityAt, TLV_AUTHORITY, authority, authorityBytes)
  writeTlv(header, uniqueIdAt, TLV_UNIQUE_ID, uniqueId, uniqueIdBytes)
  return header
}

/** Writes an address in the form of `family`, and returns where it ends. */
const writeIp = (header: Buffer, at: number, ip: IpAddress, family: number): number => {
  if (family === FAMILY_INET) return header.writeInt32BE(ip.w0, at)
  const mapped = ip.family === 4
  header.writeInt32BE(mapped ? 0 : ip.w0, at)
  header.writeInt32BE(mapped ? 0 : ip.w1, at + 4)
  header.writeInt32BE(mapped ? 0xffff : ip.w2, at + 8)
  return header.writeInt32BE(mapped ? ip.w0 : ip.w3, at + 12)
}

const writeTlv = (header: Buffer, at: number, type: number, value: string, valueBytes: number): void => {
  header[at] = type
  header.writeUInt16BE(valueBytes, at + 1)
  header.write(value, at + TLV_HEADER_BYTES, valueBytes, "latin1")
}

/** The caller has checked that the bytes are there. */
const uint16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!

const int32 = (bytes: Uint8Array, at: number): number => (uint16(bytes, at) << 16) | uint16(bytes, at + 2)

const BAD_SIGNATURE = invalid("has a wrong v2 signature")
const BAD_COMMAND = invalid("has a version other than 2, or a command other than LOCAL and PROXY")
const BAD_FAMILY = invalid("has an unknown address family or protocol")
const TOO_LONG = invalid(`is longer than ${PROXY_V2_BYTES_MAX} bytes`)
const SHORT_ADDRESSES = invalid("is too short for the addresses of its family")
const BAD_TLVS = invalid("has TLVs that do not end where it does")
const BAD_CHECKSUM = invalid("has a wrong, malformed or repeated CRC32C")

const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
const COMMAND_AT = 12
const FAMILY_AT = 13
const LENGTH_AT = 14
const PREFIX_BYTES = 16

/** Version 2 in the upper half. */
const COMMAND_LOCAL = 0x20
const COMMAND_PROXY = 0x21

const FAMILY_INET = 1
const FAMILY_INET6 = 2
const PROTOCOL_STREAM = 1
const PROTOCOL_DGRAM = 2
/** By family: unspecified, INET, INET6 (two addresses and two ports), UNIX (two paths of 108 bytes). */
const ADDRESS_BYTES: ReadonlyArray<number> = [0, 12, 36, 216]

const TLV_HEADER_BYTES = 3
const TLV_AUTHORITY = 0x02
const TLV_CRC32C = 0x03
const TLV_UNIQUE_ID = 0x05
const CRC32C_BYTES = 4
const CRC32C_ZEROS = new Uint8Array(CRC32C_BYTES)
