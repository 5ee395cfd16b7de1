/** ClientHellos for simulated clients: small, well-formed (RFC 8446 4.1.2), cut into records as one likes. */
import { concat } from "./Bytes.ts"

export interface HelloShape {
  /** The server name; without it the hello has none. It may be anything, an address too. */
  readonly name?: string | undefined
  /** What may be spoken above TLS, in the order of preference; without it the hello has no such list. */
  readonly alpn?: ReadonlyArray<string>
  /** The first bytes of `random`, at most 32. */
  readonly random?: Uint8Array
  /** The most bytes of handshake message a record carries. */
  readonly recordBytes?: number
}

/** The bytes that a TLS client sends first. */
export const clientHello = ({
  name,
  alpn,
  random = new Uint8Array(0),
  recordBytes = 16_384
}: HelloShape): Uint8Array => {
  const paddedRandom = new Uint8Array(32)
  paddedRandom.set(random)
  const extensions = concat(
    name === undefined ? new Uint8Array(0) : serverName(Buffer.from(name, "latin1")),
    alpn === undefined ? new Uint8Array(0) : protocols(alpn)
  )
  const body = concat(
    Uint8Array.of(0x03, 0x03),
    paddedRandom,
    Uint8Array.of(0), // session id
    vector16(Uint8Array.of(0x13, 0x01)), // cipher suites
    Uint8Array.of(1, 0), // compression methods
    vector16(extensions)
  )
  const message = concat(Uint8Array.of(CLIENT_HELLO, 0, body.length >> 8, body.length & 255), body)
  const records: Array<Uint8Array> = []
  for (let at = 0; at < message.length; at += recordBytes) {
    records.push(Uint8Array.of(HANDSHAKE, 3, 1), vector16(message.subarray(at, at + recordBytes)))
  }
  return concat(...records)
}

/** Where `random` begins in a hello whose first record has its first bytes: behind the headers and the version. */
export const RANDOM_AT = 11

const HANDSHAKE = 22
const CLIENT_HELLO = 1

/** Extension 0, a list of one host name (RFC 6066 3). */
const serverName = (name: Uint8Array): Uint8Array =>
  concat(Uint8Array.of(0, 0), vector16(vector16(concat(Uint8Array.of(0), vector16(name)))))

/** Extension 16, a list of names of protocols (RFC 7301 3.1). */
const protocols = (names: ReadonlyArray<string>): Uint8Array =>
  concat(
    Uint8Array.of(0, ALPN),
    vector16(vector16(concat(...names.map((name) => concat(Uint8Array.of(name.length), Buffer.from(name, "latin1"))))))
  )

const ALPN = 16

const vector16 = (bytes: Uint8Array): Uint8Array => concat(Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes)
