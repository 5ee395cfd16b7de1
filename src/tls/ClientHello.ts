/**
 * Reads the server name from the ClientHello that opens a connection, while its bytes are still arriving.
 *
 * The caller peeks: every call shows all bytes that have come, and none is consumed. The verdict is a function of the
 * byte stream alone, however it was split over TCP segments: record headers, the message's type and its length are
 * judged in stream order as they arrive, the inside of the message once it is whole. All calls together take time
 * linear in the bytes; only offsets are kept. What else the hello offers (versions, cipher suites, keys, other
 * extensions) is for the TLS server to judge. An encrypted inner hello stays unread: its outer name counts.
 */
import { Buffer } from "node:buffer"
import { Result } from "effect"
import { HOSTNAME_LENGTH_MAX, parseHostname, type Hostname } from "../snapshot/Hostname.ts"

/** What the bytes so far amount to. `Refused` carries the connection's outcome. */
export type HelloRead =
  | { readonly _tag: "NeedMore" }
  | { readonly _tag: "Hello"; readonly serverName: Hostname }
  | { readonly _tag: "Refused"; readonly outcome: "not_tls" | "hello_too_large" | "no_sni" }

/** Reads one connection's hello. The first verdict other than `NeedMore` stands, whatever follows. */
export class ClientHelloReader {
  /** The offset at which the hello must have ended, record headers included. So many bytes always get a verdict. */
  readonly #bytesMax: number
  /** The first byte not yet walked over. */
  #at = 0
  /** How much of the current record's payload is not yet walked over; 0: a record header comes next. */
  #recordLeft = 0
  /** How much of the handshake message is walked over. */
  #seen = 0
  /** The length of the handshake message with its header, as far as it is known: at least the header's. */
  #size = MESSAGE_HEADER_BYTES
  /** The message's declared length, as far as its three bytes have come. */
  #declared = 0
  #verdict: HelloRead = NEED_MORE

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** `bytes`: all that has come so far; always an extension of what the last call saw. */
  read(bytes: Uint8Array): HelloRead {
    if (this.#verdict === NEED_MORE) this.#verdict = this.#walk(bytes)
    return this.#verdict
  }

  #walk(bytes: Uint8Array): HelloRead {
    while (this.#seen < this.#size) {
      const verdict = this.#step(bytes)
      if (verdict !== undefined) return verdict
    }
    const oneRecord = this.#at === RECORD_HEADER_BYTES + this.#size
    const message = oneRecord ? bytes : gather(bytes, this.#size)
    const start = oneRecord ? RECORD_HEADER_BYTES : 0
    return readMessage(message, start + MESSAGE_HEADER_BYTES, start + this.#size)
  }

  /** Walks over the next record header, byte of the message's header, or run of its body. */
  #step(bytes: Uint8Array): HelloRead | undefined {
    if (this.#recordLeft === 0) return this.#readRecordHeader(bytes)
    if (this.#at >= bytes.length) return NEED_MORE
    if (this.#seen < MESSAGE_HEADER_BYTES) return this.#readMessageHeaderByte(bytes[this.#at]!)
    this.#advance(Math.min(this.#size - this.#seen, this.#recordLeft, bytes.length - this.#at))
    return undefined
  }

  /**
   * An empty record of handshake is refused (RFC 8446 5.1), and with it every way to send records for ever; so is a
   * record of another type inside the message (RFC 8446 5.1), and a length that plaintext may not have.
   */
  #readRecordHeader(bytes: Uint8Array): HelloRead | undefined {
    const at = this.#at
    const present = bytes.length - at
    if (present > 0 && bytes[at] !== CONTENT_TYPE_HANDSHAKE) return NOT_TLS
    if (present > 1 && bytes[at + 1] !== VERSION_MAJOR) return NOT_TLS
    if (present < RECORD_HEADER_BYTES) return NEED_MORE
    const length = uint16(bytes, at + 3)
    if (length === 0 || length > RECORD_PAYLOAD_MAX) return NOT_TLS
    this.#at += RECORD_HEADER_BYTES
    this.#recordLeft = length
    return this.#exceedsLimit() ? HELLO_TOO_LARGE : undefined
  }

  #readMessageHeaderByte(byte: number): HelloRead | undefined {
    if (this.#seen === 0) {
      if (byte !== MESSAGE_TYPE_CLIENT_HELLO) return NOT_TLS
    } else {
      this.#declared = (this.#declared << 8) | byte
    }
    this.#advance(1)
    if (this.#seen < MESSAGE_HEADER_BYTES) return undefined
    this.#size = MESSAGE_HEADER_BYTES + this.#declared
    return this.#exceedsLimit() ? HELLO_TOO_LARGE : undefined
  }

  #advance(count: number): void {
    this.#at += count
    this.#recordLeft -= count
    this.#seen += count
  }

  /**
   * Whether the message cannot end within the limit, even in the fewest further records. A record longer than the
   * limit proves nothing: the hello may end inside it.
   */
  #exceedsLimit(): boolean {
    const left = this.#size - this.#seen
    const furtherRecords = Math.ceil(Math.max(0, left - this.#recordLeft) / RECORD_PAYLOAD_MAX)
    return this.#at + left + furtherRecords * RECORD_HEADER_BYTES > this.#bytesMax
  }
}

/** The first `size` payload bytes of the records at the start of `bytes`, which have been walked over. */
const gather = (bytes: Uint8Array, size: number): Uint8Array => {
  const message = new Uint8Array(size)
  let filled = 0
  for (let record = 0; filled < size;) {
    const payload = record + RECORD_HEADER_BYTES
    const length = uint16(bytes, record + 3)
    const taken = Math.min(length, size - filled)
    message.set(bytes.subarray(payload, payload + taken), filled)
    filled += taken
    record = payload + length
  }
  return message
}

/**
 * Judges a whole ClientHello body (RFC 8446 4.1.2). Whatever breaks its form is `not_tls`, and that outweighs
 * `no_sni`, wherever in the message it stands. A hello without extensions is one of TLS 1.0 (RFC 2246 7.4.1.2).
 */
const readMessage = (bytes: Uint8Array, start: number, end: number): HelloRead => {
  const sessionId = start + 2 + RANDOM_BYTES
  const cipherSuites = endOfVector8(bytes, sessionId, end)
  const compressionMethods = endOfVector16(bytes, cipherSuites, end)
  const extensions = endOfVector8(bytes, compressionMethods, end)
  if (extensions === BROKEN || bytes[start] !== VERSION_MAJOR) return NOT_TLS
  const cipherSuitesLength = compressionMethods - cipherSuites - 2
  if (bytes[sessionId]! > SESSION_ID_BYTES_MAX) return NOT_TLS
  if (cipherSuitesLength === 0 || cipherSuitesLength % 2 !== 0) return NOT_TLS
  if (bytes[compressionMethods] === 0) return NOT_TLS
  if (extensions === end) return NO_SNI
  if (endOfVector16(bytes, extensions, end) !== end) return NOT_TLS
  return readExtensions(bytes, extensions + 2, end)
}

const readExtensions = (bytes: Uint8Array, start: number, end: number): HelloRead => {
  let found: HelloRead | undefined
  for (let at = start; at < end;) {
    const next = endOfVector16(bytes, at + 2, end)
    if (next === BROKEN) return NOT_TLS
    if (uint16(bytes, at) === EXTENSION_SERVER_NAME) {
      const names = readServerNames(bytes, at + 4, next)
      if (names === NOT_TLS) return NOT_TLS
      found = found === undefined ? names : NO_SNI
    }
    at = next
  }
  return found ?? NO_SNI
}

/**
 * The body of a server_name extension. Lengths that do not nest break the message's form; a list that nests but holds
 * no name, several, or one that is no host name is `no_sni`. Entries of types yet unknown start with a 16-bit length
 * too (RFC 6066 3) and are passed over.
 */
const readServerNames = (bytes: Uint8Array, start: number, end: number): HelloRead => {
  if (endOfVector16(bytes, start, end) !== end) return NOT_TLS
  let count = 0
  let nameStart = 0
  let nameEnd = 0
  for (let at = start + 2; at < end;) {
    const next = endOfVector16(bytes, at + 1, end)
    if (next === BROKEN) return NOT_TLS
    if (bytes[at] === NAME_TYPE_HOST_NAME) {
      count++
      nameStart = at + 3
      nameEnd = next
    }
    at = next
  }
  return count === 1 ? readHostname(bytes, nameStart, nameEnd) : NO_SNI
}

/** Latin-1 maps each byte to one character, so no byte outside ASCII can turn into a letter of a valid name. */
const readHostname = (bytes: Uint8Array, start: number, end: number): HelloRead => {
  const length = end - start
  if (length > HOSTNAME_LENGTH_MAX + TRAILING_DOT_LENGTH) return NO_SNI
  const name = parseHostname(Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString("latin1"))
  return Result.isSuccess(name) ? { _tag: "Hello", serverName: name.success } : NO_SNI
}

/** Where the vector at `at` with a one-byte length ends; `BROKEN` past `end`, or when `at` is. */
const endOfVector8 = (bytes: Uint8Array, at: number, end: number): number => {
  if (at === BROKEN || at + 1 > end) return BROKEN
  const next = at + 1 + bytes[at]!
  return next > end ? BROKEN : next
}

/** The same with a two-byte length. */
const endOfVector16 = (bytes: Uint8Array, at: number, end: number): number => {
  if (at === BROKEN || at + 2 > end) return BROKEN
  const next = at + 2 + uint16(bytes, at)
  return next > end ? BROKEN : next
}

/** The caller has checked that both bytes are there. */
const uint16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!

const NEED_MORE: HelloRead = { _tag: "NeedMore" }
const NOT_TLS: HelloRead = { _tag: "Refused", outcome: "not_tls" }
const HELLO_TOO_LARGE: HelloRead = { _tag: "Refused", outcome: "hello_too_large" }
const NO_SNI: HelloRead = { _tag: "Refused", outcome: "no_sni" }

const BROKEN = -1

const CONTENT_TYPE_HANDSHAKE = 22
/** SSL 3.0 and every TLS; the minor byte is not looked at, since clients of TLS 1.3 write 1 or 3 (RFC 8446 5.1). */
const VERSION_MAJOR = 3
const RECORD_HEADER_BYTES = 5
/** A plaintext record carries at most 2^14 bytes (RFC 8446 5.1). */
const RECORD_PAYLOAD_MAX = 16384

const MESSAGE_TYPE_CLIENT_HELLO = 1
/** A type and a 24-bit length (RFC 8446 4). */
const MESSAGE_HEADER_BYTES = 4
const RANDOM_BYTES = 32
const SESSION_ID_BYTES_MAX = 32
const EXTENSION_SERVER_NAME = 0
const NAME_TYPE_HOST_NAME = 0
/** RFC 6066 3 forbids the trailing dot, yet clients send it. */
const TRAILING_DOT_LENGTH = 1
