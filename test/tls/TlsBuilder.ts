/** Encodes ClientHellos and records for tests, well-formed or, where a test says so, not. */

export type Extension = readonly [type: number, body: Uint8Array]

export interface HelloShape {
  readonly legacyVersion?: number
  readonly sessionId?: Uint8Array
  readonly cipherSuites?: Uint8Array
  readonly compressionMethods?: Uint8Array
  /** Left out: none, and no list of them either, as TLS 1.0 allows. */
  readonly extensions?: ReadonlyArray<Extension>
  /** Bytes after the extensions, which no well-formed hello has. */
  readonly trailer?: Uint8Array
}

/** The handshake message, its header included. */
export const clientHello = (shape: HelloShape): Uint8Array => {
  const extensions = shape.extensions?.map(([type, body]) => concat(uint16(type), vector16(body)))
  const body = concat(
    uint16(shape.legacyVersion ?? 0x0303),
    new Uint8Array(32).fill(0x5a),
    vector8(shape.sessionId ?? new Uint8Array(32)),
    vector16(shape.cipherSuites ?? Uint8Array.of(0x13, 0x01)),
    vector8(shape.compressionMethods ?? Uint8Array.of(0)),
    extensions === undefined ? new Uint8Array(0) : vector16(concat(...extensions)),
    shape.trailer ?? new Uint8Array(0)
  )
  return message(1, body)
}

/** A handshake message of any type. */
export const message = (type: number, body: Uint8Array): Uint8Array =>
  concat(Uint8Array.of(type, body.length >> 16, (body.length >> 8) & 255, body.length & 255), body)

/** A server_name extension with these host names. */
export const serverName = (...names: ReadonlyArray<string>): Extension =>
  serverNames(...names.map((name) => [0, Buffer.from(name, "latin1")] as const))

/** A server_name extension with entries of any type. */
export const serverNames = (...entries: ReadonlyArray<readonly [type: number, name: Uint8Array]>): Extension => [
  0,
  vector16(concat(...entries.map(([type, name]) => concat(Uint8Array.of(type), vector16(name)))))
]

/** The message in handshake records whose payloads are of `sizes`, used over and over. */
export const inRecords = (payload: Uint8Array, sizes: ReadonlyArray<number>): Uint8Array => {
  const records: Array<Uint8Array> = []
  for (let at = 0, i = 0; at < payload.length; i++) {
    const piece = payload.subarray(at, at + sizes[i % sizes.length]!)
    records.push(record(22, piece))
    at += piece.length
  }
  return concat(...records)
}

export const record = (type: number, payload: Uint8Array): Uint8Array =>
  concat(Uint8Array.of(type, 3, 1), vector16(payload))

/** The payloads of the handshake records at the start of `bytes`: the inverse of `inRecords`. */
export const outOfRecords = (bytes: Uint8Array): Uint8Array => {
  const payloads: Array<Uint8Array> = []
  for (let at = 0; bytes[at] === 22;) {
    const end = at + 5 + ((bytes[at + 3]! << 8) | bytes[at + 4]!)
    payloads.push(bytes.subarray(at + 5, end))
    at = end
  }
  return concat(...payloads)
}

export const vector8 = (body: Uint8Array): Uint8Array => concat(Uint8Array.of(body.length), body)
export const vector16 = (body: Uint8Array): Uint8Array => concat(uint16(body.length), body)
export const uint16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255)
export const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Uint8Array.from(Buffer.concat(parts))
