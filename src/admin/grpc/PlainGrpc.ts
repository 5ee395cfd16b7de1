/**
 * Unary gRPC calls in their plain form: protobuf without compression over HTTP/2, as nearly all of them come. Connect
 * answers every form, and takes four times as long for this one; a mutation should cost what its commit costs. So these
 * are answered on the bare stream, without a promise or a signal a call.
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { parseTimeout } from "@connectrpc/connect/protocol-grpc"
import { Result } from "effect"
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2"
import type { Cancel } from "./Calls.ts"
import { encodeMessage } from "./Codes.ts"
import type { UnaryMethod } from "./GrpcAdapter.ts"

/** False for any other form. */
export const isPlain = (headers: IncomingHttpHeaders): boolean => {
  const { [ENCODING]: encoding = "identity", [TIMEOUT]: timeout = "1S", "content-type": type = "" } = headers
  const isReadable = CONTENT_TYPES.has(type) && encoding === "identity" && TIMEOUT_FORM.test(String(timeout))
  return isReadable && headers[":method"] === "POST"
}

/** Reads the call, and answers it. */
export const answerPlain = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  { answer, method }: UnaryMethod,
  messageBytesMax: number
): void => {
  let over = false
  let cancel: Cancel | undefined
  const settle = (result: Result.Result<Message, ConnectError>): void => {
    if (over) return
    over = true
    clearTimeout(deadline)
    if (Result.isFailure(result)) writeRefusal(stream, result.failure)
    else writeAnswer(stream, toBinary(method.output, result.success))
  }
  /** Before there is an answer. */
  const end = (reason: ConnectError): void => {
    if (cancel === undefined) settle(Result.fail(reason))
    else cancel(reason)
  }
  const deadline = startDeadline(headers, () => end(DEADLINE_PASSED))
  stream.on("error", ignore)
  stream.on("close", () => {
    clearTimeout(deadline)
    if (!over) end(CALLER_GONE)
  })
  readMessage(stream, messageBytesMax, (read) => {
    if (over) return
    const asked = Result.flatMap(read, (bytes) => parse(method.input, bytes))
    if (Result.isFailure(asked)) settle(Result.fail(asked.failure))
    else cancel = answer(asked.success, settle)
  })
}

/** The stream closes, which is heard. */
const ignore = (): void => undefined

const CONTENT_TYPE = "application/grpc+proto"
const CONTENT_TYPES: ReadonlySet<string> = new Set([CONTENT_TYPE, "application/grpc"])

const ENCODING = "grpc-encoding"
const TIMEOUT = "grpc-timeout"
const TIMEOUT_FORM = /^\d{1,8}[HMSmun]$/

const CALLER_GONE = new ConnectError("the caller has gone", Code.Canceled)
const DEADLINE_PASSED = new ConnectError("the deadline has passed", Code.DeadlineExceeded)

const startDeadline = (headers: IncomingHttpHeaders, onPassed: () => void): NodeJS.Timeout | undefined => {
  const header = headers[TIMEOUT]
  if (typeof header !== "string") return undefined
  const { timeoutMs = 0 } = parseTimeout(header, Number.MAX_SAFE_INTEGER)
  // More weeks than a timer of Node's has are as good as no deadline.
  return timeoutMs > TIMER_MS_MAX ? undefined : setTimeout(onPassed, timeoutMs)
}

const TIMER_MS_MAX = 0x7fff_ffff

/** A message goes behind one byte of flags, of which compression is the only one, and four of its length. */
const PREFIX_BYTES = 5

/**
 * Fails as soon as there is too much, or is said to be; what comes then is dropped, until the caller hears of it. Says
 * nothing when the stream closes before.
 */
const readMessage = (
  stream: ServerHttp2Stream,
  bytesMax: number,
  onRead: (message: Result.Result<Buffer, ConnectError>) => void
): void => {
  const chunks: Array<Buffer> = []
  let received = 0
  let length: number | undefined
  stream.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    received += chunk.length
    if (length === undefined && received >= PREFIX_BYTES) length = joined(chunks).readUInt32BE(1)
    if (length === undefined || (length <= bytesMax && received <= PREFIX_BYTES + length)) return
    chunks.length = 0
    onRead(Result.fail(length > bytesMax ? tooLong(bytesMax) : MALFORMED))
  })
  stream.on("end", () => {
    const body = joined(chunks)
    const isWhole = length === received - PREFIX_BYTES && body[0] === 0
    onRead(isWhole ? Result.succeed(body.subarray(PREFIX_BYTES)) : Result.fail(MALFORMED))
  })
}

/** Nearly always there is one. */
const joined = (chunks: ReadonlyArray<Buffer>): Buffer => (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))

const parse = (message: DescMessage, bytes: Uint8Array): Result.Result<Message, ConnectError> =>
  Result.try({ try: () => fromBinary(message, bytes), catch: (error) => ConnectError.from(error, Code.Internal) })

const tooLong = (bytesMax: number) =>
  new ConnectError(`the message has more than ${bytesMax} bytes`, Code.ResourceExhausted)

const MALFORMED = new ConnectError("the request is not one uncompressed message", Code.Internal)

const writeAnswer = (stream: ServerHttp2Stream, message: Uint8Array): void => {
  if (stream.closed) return
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, PREFIX_BYTES)
  stream.respond(HEADERS, { waitForTrailers: true })
  stream.on("wantTrailers", () => stream.sendTrailers(TRAILERS))
  stream.end(framed)
}

/** Without a message, the status is in the headers, which have to end the stream. */
const writeRefusal = (stream: ServerHttp2Stream, { code, rawMessage }: ConnectError): void => {
  if (stream.closed) return
  const status = { "grpc-status": String(code), "grpc-message": encodeMessage(rawMessage) }
  stream.respond({ ...HEADERS, ...status }, { endStream: true })
}

const HEADERS = { ":status": 200, "content-type": CONTENT_TYPE }
const TRAILERS = { "grpc-status": "0" }
