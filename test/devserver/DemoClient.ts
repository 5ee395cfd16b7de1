/** A client of a demo backend, which verifies its certificate as curl does, and speaks what the two agree on. */
import { NodeStream } from "@effect/platform-node"
import { Effect, type Scope, Stream } from "effect"
import { request as requestHttp1 } from "node:http"
import { connect as connectHttp2 } from "node:http2"
import { connect as connectTcp, type Socket } from "node:net"
import type { Readable } from "node:stream"
import { connect as connectTls, type TLSSocket } from "node:tls"
import type { SocketAddress } from "../../src/net/SocketAddress.ts"

export interface Question {
  /** PEM. */
  readonly authority: string
  readonly hostname: string
  readonly path?: string
  readonly method?: string
  readonly body?: Uint8Array
  readonly alpn?: ReadonlyArray<"h2" | "http/1.1">
  /** Ahead of the TLS, a piece a segment. */
  readonly preface?: ReadonlyArray<Uint8Array>
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  /** The client's own end, as the backend sees it where there is no proxy between them. */
  readonly port: number
  readonly body: Stream.Stream<Uint8Array, string>
}

/** The answer to one request on a connection of its own, which the scope owns; fails with the error's code. */
export const open = (address: SocketAddress, question: Question): Effect.Effect<Answer, string, Scope.Scope> =>
  Effect.gen(function* () {
    const tcp = yield* Effect.acquireRelease(
      Effect.sync(() => connectTcp({ host: address.ip.text, port: address.port, noDelay: true })),
      (socket) => Effect.sync(() => socket.destroy())
    )
    yield* once(tcp, "connect")
    for (const piece of question.preface ?? []) {
      yield* Effect.callback<void>((resume) => void tcp.write(piece, () => resume(Effect.void)))
    }
    const tls = connectTls({
      socket: tcp,
      ca: question.authority,
      servername: question.hostname,
      ALPNProtocols: [...(question.alpn ?? [])]
    })
    yield* once(tls, "secureConnect")
    const port = tcp.localPort!
    const { readable, ...head } = yield* tls.alpnProtocol === "h2" ? askHttp2(tls, question) : askHttp1(tls, question)
    return { ...head, port, body: NodeStream.fromReadable({ evaluate: () => readable, onError: codeOf }) }
  })

/** The whole answer. */
export const ask = Effect.fnUntraced(function* (address: SocketAddress, question: Question) {
  const { body, ...head } = yield* open(address, question)
  const bytes = Buffer.concat(yield* Stream.runCollect(body))
  return { ...head, bytes, text: bytes.toString("utf8") }
}, Effect.scoped)

interface Head {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly readable: Readable
}

const askHttp1 = (tls: TLSSocket, { body, hostname, method, path }: Question) =>
  Effect.callback<Head, string>((resume) => {
    const request = requestHttp1({ createConnection: () => tls, host: hostname, path, method })
    request.once("error", (error) => resume(Effect.fail(codeOf(error))))
    request.once("response", (response) =>
      resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, readable: response }))
    )
    request.end(body)
  })

const askHttp2 = (tls: TLSSocket, { body, hostname, method = "GET", path = "/" }: Question) =>
  Effect.callback<Head, string>((resume) => {
    const session = connectHttp2(`https://${hostname}`, { createConnection: () => tls })
    session.on("error", (error) => resume(Effect.fail(codeOf(error))))
    const request = session.request({ ":path": path, ":method": method })
    request.once("error", (error) => resume(Effect.fail(codeOf(error))))
    request.once("response", (headers) =>
      resume(Effect.succeed({ status: headers[":status"] ?? 0, headers, readable: request }))
    )
    request.end(body)
  })

const once = (socket: Socket, event: "connect" | "secureConnect") =>
  Effect.callback<void, string>((resume) => {
    socket.once(event, () => resume(Effect.void))
    socket.on("error", (error) => resume(Effect.fail(codeOf(error))))
    socket.once("close", () => resume(Effect.fail("closed")))
  })

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error)
