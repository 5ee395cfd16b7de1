/**
 * TLS without its secrets: a ClientHello as any other, one handshake record in answer, one that the client has finished
 * (RFC 8446 4.4.4), and the plain bytes from then on.
 *
 * The proxy reads the name as it reads every hello's, both sides agree on ALPN, the client verifies the name, and a
 * handshake fails, is late or is broken off as a real one. Certificates are names here; a context says nothing.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { clientHello } from "../../testing/Hello.ts"
import type { PeekError } from "../Connection.ts"
import type { Alpn, HandshakeError, TlsStream } from "../Network.ts"
import { acquireScoped } from "../Scoped.ts"
import type { SimConnection } from "./SimConnection.ts"
import { SimDuplex } from "./SimDuplex.ts"

export interface NullServerTls {
  readonly alpn: ReadonlyArray<Alpn>
  /** What the certificate is for; left out: whatever the client asks for. */
  readonly names?: ReadonlyArray<string>
  /** By default there is none. */
  readonly deadline?: number
}

export interface NullClientTls {
  readonly serverName: string
  readonly alpn: ReadonlyArray<Alpn>
  readonly deadline?: number
}

type Handshake = Effect.Effect<TlsStream, HandshakeError, Scope.Scope>

export const terminate = (connection: SimConnection, tls: NullServerTls): Handshake =>
  inScope(
    connection,
    Effect.gen(function* () {
      const hello = yield* receiveMessage(connection, CLIENT_HELLO, tls.deadline)
      const offered = offeredProtocols(hello)
      const alpn = tls.alpn.find((protocol) => offered.includes(protocol))
      if (alpn === undefined && offered.length > 0 && tls.alpn.length > 0) {
        yield* sendAlert(connection, NO_APPLICATION_PROTOCOL)
        return yield* fail("handshake_failed", "no protocol in common")
      }
      yield* send(connection, answer(alpn, tls.names))
      yield* receiveMessage(connection, FINISHED, tls.deadline)
      return { duplex: new SimDuplex(connection), alpn }
    })
  )

export const secure = (connection: SimConnection, tls: NullClientTls): Handshake =>
  inScope(
    connection,
    Effect.gen(function* () {
      yield* send(connection, clientHello({ name: tls.serverName, alpn: tls.alpn }))
      const [protocol, names] = readAnswer(yield* receiveMessage(connection, SERVER_HELLO, tls.deadline))
      if (names !== "" && !names.split(" ").includes(tls.serverName)) {
        yield* sendAlert(connection, BAD_CERTIFICATE)
        return yield* fail("handshake_failed", `the certificate is for ${names}`)
      }
      const alpn = tls.alpn.find((offered) => offered === protocol)
      yield* send(connection, clientFinished())
      return { duplex: new SimDuplex(connection), alpn }
    })
  )

/** The connection is reset when the scope closes, or when the handshake is interrupted. */
const inScope = (connection: SimConnection, handshake: Effect.Effect<TlsStream, HandshakeError>): Handshake =>
  acquireScoped(
    Effect.onInterrupt(handshake, () => Effect.sync(() => connection.reset())),
    () => connection.reset()
  )

/** Takes the records of one handshake message, and gives what is in it behind its header. */
const receiveMessage = Effect.fnUntraced(function* (
  connection: SimConnection,
  type: number,
  deadline: number = Infinity
): Effect.fn.Return<Buffer, HandshakeError> {
  let message: Buffer = Buffer.alloc(0)
  let seen = 0
  while (true) {
    const bytes = yield* Effect.catch(connection.peek(seen, deadline), failPeek)
    const record = takeRecord(bytes)
    if (record === undefined) {
      seen = bytes.length
      continue
    }
    seen = 0
    connection.consume(RECORD_HEADER_BYTES + record.length)
    if (bytes[0] === ALERT) return yield* fail("handshake_failed", `alert ${record[1] ?? ""}`)
    message = Buffer.concat([message, record])
    if (bytes[0] !== HANDSHAKE || (message.length > 0 && message[0] !== type)) {
      yield* sendAlert(connection, UNEXPECTED_MESSAGE)
      return yield* fail("handshake_failed", "not the message that was expected")
    }
    const whole = message.length >= MESSAGE_HEADER_BYTES && MESSAGE_HEADER_BYTES + message.readUIntBE(1, 3)
    if (whole !== false && message.length >= whole) return message.subarray(MESSAGE_HEADER_BYTES, whole)
  }
})

/** The payload of the record at the start of `bytes`; `undefined` while it is not whole. */
const takeRecord = (bytes: Uint8Array): Buffer | undefined => {
  if (bytes.length < RECORD_HEADER_BYTES) return undefined
  const end = RECORD_HEADER_BYTES + bytes[3]! * 256 + bytes[4]!
  return bytes.length < end ? undefined : Buffer.from(bytes.subarray(RECORD_HEADER_BYTES, end))
}

/** The names in a hello's ALPN extension (RFC 7301 3.1); none where it has none, or is not well-formed. */
const offeredProtocols = (hello: Buffer): ReadonlyArray<string> => {
  const reader = new Vectors(hello.subarray(VERSION_AND_RANDOM_BYTES))
  reader.take(1) // session id
  reader.take(2) // cipher suites
  reader.take(1) // compression methods
  const extensions = new Vectors(reader.take(2))
  while (extensions.left > 0) {
    const isAlpn = extensions.number(2) === ALPN
    const body = extensions.take(2)
    if (!isAlpn) continue
    const list = new Vectors(new Vectors(body).take(2))
    const names: Array<string> = []
    while (list.left > 0) names.push(list.take(1).toString("latin1"))
    return names
  }
  return []
}

/** Reads numbers, and bytes behind their length; past the end there is nothing, as often as one asks. */
class Vectors {
  #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length
  }

  number(size: 1 | 2): number {
    const value = this.#bytes.length < size ? 0 : this.#bytes.readUIntBE(0, size)
    this.#bytes = this.#bytes.subarray(size)
    return value
  }

  take(lengthSize: 1 | 2): Buffer {
    const length = this.number(lengthSize)
    const taken = this.#bytes.subarray(0, length)
    this.#bytes = this.#bytes.subarray(length)
    return taken
  }
}

/** A ServerHello by its type alone: what was agreed on, and whom the certificate is for. */
const answer = (alpn: Alpn | undefined, names: ReadonlyArray<string> = []): Buffer => {
  const body = Buffer.from(`${alpn ?? ""}\n${names.join(" ")}`, "latin1")
  const header = Buffer.of(SERVER_HELLO, 0, body.length >> 8, body.length & 255)
  return record(HANDSHAKE, Buffer.concat([header, body]))
}

/** The client's last word of the handshake. */
export const clientFinished = (): Buffer => record(HANDSHAKE, Buffer.of(FINISHED, 0, 0, 0))

const readAnswer = (body: Buffer): readonly [protocol: string, names: string] => {
  const [protocol = "", names = ""] = body.toString("latin1").split("\n")
  return [protocol, names]
}

const record = (type: number, payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(type, 3, 3, payload.length >> 8, payload.length & 255), payload])

const send = (connection: SimConnection, bytes: Uint8Array): Effect.Effect<void, HandshakeError> =>
  Effect.catch(connection.write(bytes), failPeek)

/** A fatal alert, and FIN. */
const sendAlert = (connection: SimConnection, description: number): Effect.Effect<void> =>
  Effect.andThen(Effect.ignore(connection.write(record(ALERT, Buffer.of(2, description)))), connection.endWrite)

const failPeek = ({ _tag }: PeekError): Effect.Effect<never, HandshakeError> => {
  switch (_tag) {
    case "ConnectionReset":
      return fail("reset", "reset during the handshake")
    case "PeerEnded":
      return fail("handshake_failed", "closed during the handshake")
    case "PeekTimeout":
      return fail("handshake_timeout", "the handshake took too long")
  }
}

const fail = (_tag: HandshakeError["_tag"], reason: string): Effect.Effect<never, HandshakeError> =>
  Effect.fail({ _tag, reason })

const HANDSHAKE = 22
const ALERT = 21
const CLIENT_HELLO = 1
const SERVER_HELLO = 2
const FINISHED = 20
const ALPN = 16
const UNEXPECTED_MESSAGE = 10
const BAD_CERTIFICATE = 42
const NO_APPLICATION_PROTOCOL = 120
const RECORD_HEADER_BYTES = 5
const MESSAGE_HEADER_BYTES = 4
const VERSION_AND_RANDOM_BYTES = 34
