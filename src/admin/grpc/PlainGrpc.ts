/**
 * Unary gRPC calls in their plain form: protobuf without compression over HTTP/2, as nearly all of them come. Connect
 * answers every form, and takes four times as long for this one; a mutation should cost what its commit costs.
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { parseTimeout } from "@connectrpc/connect/protocol-grpc"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"
import type { AdminRequest, AdminResponse } from "../AdminConnections.ts"
import { encodeMessage } from "./Codes.ts"
import type { UnaryMethod } from "./GrpcAdapter.ts"

export interface PlainCall {
  readonly request: Http2ServerRequest
  readonly response: Http2ServerResponse
}

/** `undefined` for any other form. */
export const asPlainCall = (request: AdminRequest, response: AdminResponse): PlainCall | undefined => {
  if (!("stream" in request && "stream" in response) || request.method !== "POST") return undefined
  const { [ENCODING]: encoding = "identity", [TIMEOUT]: timeout = "1S", "content-type": type = "" } = request.headers
  const isPlain = CONTENT_TYPES.has(type) && encoding === "identity" && TIMEOUT_FORM.test(String(timeout))
  return isPlain ? { request, response } : undefined
}

/** Completes when the answer is written. */
export const answerPlain = async (
  { request, response }: PlainCall,
  { answer, method }: UnaryMethod,
  messageBytesMax: number
): Promise<void> => {
  const call = new AbortController()
  const deadline = startDeadline(request, call)
  response.once("close", () => {
    clearTimeout(deadline)
    if (!response.writableEnded) call.abort(CALLER_GONE)
  })
  try {
    const asked = fromBinary(method.input, await readMessage(request, messageBytesMax))
    writeAnswer(response, toBinary(method.output, await answer(asked, call.signal)))
  } catch (error) {
    writeRefusal(response, ConnectError.from(error, Code.Internal))
  }
}

const CONTENT_TYPE = "application/grpc+proto"
const CONTENT_TYPES: ReadonlySet<string> = new Set([CONTENT_TYPE, "application/grpc"])

const ENCODING = "grpc-encoding"
const TIMEOUT = "grpc-timeout"
const TIMEOUT_FORM = /^\d{1,8}[HMSmun]$/

const CALLER_GONE = new ConnectError("the caller has gone", Code.Canceled)

const startDeadline = (request: Http2ServerRequest, call: AbortController): NodeJS.Timeout | undefined => {
  const header = request.headers[TIMEOUT]
  if (typeof header !== "string") return undefined
  const { timeoutMs = 0 } = parseTimeout(header, Number.MAX_SAFE_INTEGER)
  // More weeks than a timer of Node's has are as good as no deadline.
  if (timeoutMs > TIMER_MS_MAX) return undefined
  return setTimeout(() => call.abort(new ConnectError("the deadline has passed", Code.DeadlineExceeded)), timeoutMs)
}

const TIMER_MS_MAX = 0x7fff_ffff

/** A message goes behind one byte of flags, of which compression is the only one, and four of its length. */
const PREFIX_BYTES = 5

/** Fails as soon as there is too much, or is said to be; what comes then is dropped, until the caller hears of it. */
const readMessage = (request: Http2ServerRequest, bytesMax: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Array<Buffer> = []
    let received = 0
    let length: number | undefined
    request.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      received += chunk.length
      if (length === undefined && received >= PREFIX_BYTES) length = Buffer.concat(chunks).readUInt32BE(1)
      if (length === undefined || (length <= bytesMax && received <= PREFIX_BYTES + length)) return
      chunks.length = 0
      reject(length > bytesMax ? tooLong(bytesMax) : MALFORMED)
    })
    request.on("end", () => {
      const body = Buffer.concat(chunks)
      if (length === received - PREFIX_BYTES && body[0] === 0) resolve(body.subarray(PREFIX_BYTES))
      else reject(MALFORMED)
    })
    request.on("close", () => reject(CALLER_GONE))
  })

const tooLong = (bytesMax: number) =>
  new ConnectError(`the message has more than ${bytesMax} bytes`, Code.ResourceExhausted)

const MALFORMED = new ConnectError("the request is not one uncompressed message", Code.Internal)

const writeAnswer = (response: Http2ServerResponse, message: Uint8Array): void => {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, PREFIX_BYTES)
  response.writeHead(200, { "content-type": CONTENT_TYPE })
  response.addTrailers({ "grpc-status": "0" })
  response.end(framed)
}

/** Without a message, the status is in the headers, which have to end the stream: `writeHead` would send them apart. */
const writeRefusal = (response: Http2ServerResponse, { code, rawMessage }: ConnectError): void => {
  response.setHeader("content-type", CONTENT_TYPE)
  response.setHeader("grpc-status", String(code))
  response.setHeader("grpc-message", encodeMessage(rawMessage))
  response.end()
}
