/**
 * A gRPC client that costs little, for as many calls as the proxy can take: one HTTP/2 connection to the admin socket,
 * unary calls with requests that are written already, answers that are checked for their status and not decoded.
 *
 * A stock client costs as much CPU a call as the proxy, of the same cores; the bench would measure the two together.
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { Effect, type Scope } from "effect"
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2"
import { createConnection } from "node:net"
import { BenchError } from "./BenchError.ts"

export class GrpcCaller {
  readonly #session: ClientHttp2Session

  private constructor(session: ClientHttp2Session) {
    this.#session = session
  }

  static connect(socket: string): Effect.Effect<GrpcCaller, never, Scope.Scope> {
    const opened = Effect.sync(() =>
      connect("http://localhost", { createConnection: () => createConnection(socket) }).on("error", () => {})
    )
    return Effect.map(
      Effect.acquireRelease(opened, (session) => Effect.sync(() => session.destroy())),
      (session) => new GrpcCaller(session)
    )
  }

  /** Fails unless the answer is a message with the status OK. `framed` is of `frame`. */
  call(path: string, framed: Buffer): Effect.Effect<void, BenchError> {
    return Effect.callback<void, BenchError>((resume) => {
      const stream = this.#session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers"
      })
      stream.end(framed)
      check(stream, (problem) =>
        resume(problem === undefined ? Effect.void : Effect.fail(new BenchError({ message: `${path}: ${problem}` })))
      )
    })
  }
}

/** Of flags, of which there are none, and the length. */
const PREFIX_BYTES = 5

/** A request behind its prefix. */
export const frame = (message: Uint8Array): Buffer => {
  const framed = Buffer.alloc(PREFIX_BYTES + message.length)
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, PREFIX_BYTES)
  return framed
}

const check = (stream: ClientHttp2Stream, done: (problem: string | undefined) => void): void => {
  let received = 0
  let status: unknown
  let text: unknown
  const note = (headers: Readonly<Record<string, unknown>>) => {
    status ??= headers["grpc-status"]
    text ??= headers["grpc-message"]
  }
  stream.on("response", note)
  stream.on("trailers", note)
  stream.on("data", (chunk: Buffer) => {
    received += chunk.length
  })
  stream.on("error", (error) => done(error.message))
  stream.on("close", () => {
    if (status !== "0") done(`status ${String(status)}, ${String(text)}`)
    else done(received >= PREFIX_BYTES ? undefined : "no message")
  })
}
