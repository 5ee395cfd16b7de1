/**
 * What a demo backend says to a request: pure, but for the streams that it describes.
 *
 * Every path is answered; three do something to try a proxy with.
 */
import { type Duration, Stream } from "effect"
import { formatSocketAddress, type SocketAddress } from "../net/SocketAddress.ts"
import type { Demo } from "./Demo.ts"

export interface DemoRequest<E> {
  readonly method: string
  /** With its query. */
  readonly target: string
  readonly httpVersion: string
  readonly contentType: string
  /** Empty: none, the proxy has ended it. */
  readonly tlsVersion: string
  /** What the client and the server agreed on; empty: nothing. */
  readonly alpn: string
  readonly local: SocketAddress
  readonly peer: SocketAddress
  /** As a PROXY header named it; `undefined` when there was none. */
  readonly client: SocketAddress | undefined
  /** As `X-Forwarded-For` named it; empty where that was not there. */
  readonly forwardedFor: string
  readonly body: Stream.Stream<Uint8Array, E>
}

export interface DemoAnswer<E> {
  readonly status: number
  /** `undefined`: as long as its stream is. */
  readonly bytes: number | undefined
  readonly body: Stream.Stream<Uint8Array, E>
  readonly contentType: string
  readonly trailers: Readonly<Record<string, string>>
}

export const answer = <E>(demo: Demo, request: DemoRequest<E>): DemoAnswer<E> => {
  const path = request.target.replace(/\?.*$/s, "")
  if (request.contentType === GRPC) return answerGrpc(path)
  if (path === "/echo") return { ...PLAIN, bytes: undefined, body: request.body }
  if (path === "/slow") return { ...PLAIN, bytes: undefined, body: slowLines(demo) }
  if (path.startsWith(BYTES_PATH)) return answerBytes(path.slice(BYTES_PATH.length))
  return answerText(200, greeting(demo, request))
}

/** The longest answer: seconds of watching a proxy at full speed, and no day of it for a slip of the finger. */
export const BYTES_MAX = 10_000_000_000

const BYTES_PATH = "/bytes/"

const answerBytes = (number: string): DemoAnswer<never> => {
  const bytes = /^[0-9]{1,15}$/.test(number) ? Number(number) : Infinity
  if (bytes > BYTES_MAX) return answerText(400, `${BYTES_PATH}N takes a number of bytes from 0 to ${BYTES_MAX}\n`)
  const chunks = Stream.range(1, Math.floor(bytes / FILLER.length), CHUNKS_AT_ONCE)
  const whole = Stream.map(chunks, () => FILLER)
  const rest = FILLER.subarray(0, bytes % FILLER.length)
  return { ...PLAIN, bytes, body: rest.length === 0 ? whole : Stream.concat(whole, Stream.make(rest)) }
}

const answerText = (status: number, text: string): DemoAnswer<never> => {
  const bytes = encoder.encode(text)
  return { ...PLAIN, status, bytes: bytes.length, body: Stream.make(bytes) }
}

/** gRPC's own health check, so that any client of gRPC can ask; no other service is there (UNIMPLEMENTED). */
const answerGrpc = (path: string): DemoAnswer<never> =>
  path === GRPC_HEALTH
    ? { ...PLAIN, contentType: GRPC, bytes: undefined, body: Stream.make(SERVING), trailers: { "grpc-status": "0" } }
    : { ...PLAIN, contentType: GRPC, bytes: undefined, body: Stream.empty, trailers: { "grpc-status": "12" } }

export const GRPC = "application/grpc"
export const GRPC_HEALTH = "/grpc.health.v1.Health/Check"

/** `HealthCheckResponse { status: SERVING }`, not compressed, and how long it is. */
const SERVING = Uint8Array.of(0, 0, 0, 0, 2, 8, 1)

const PLAIN = { status: 200, contentType: "text/plain; charset=utf-8", trailers: {} }

const greeting = <E>(demo: Demo, request: DemoRequest<E>): string => {
  const { alpn, httpVersion, local, method, peer, target, tlsVersion } = request
  return [
    `Hello from ${demo.hostname}.`,
    "",
    `  asked    ${method} ${target}`,
    `  over     HTTP/${httpVersion}, ${tlsVersion === "" ? "no TLS" : `${tlsVersion}, ALPN ${alpn === "" ? "none" : alpn}`}`,
    `  backend  ${formatSocketAddress(local)}`,
    `  peer     ${formatSocketAddress(peer)}`,
    `  client   ${clientOf(request)}`,
    "",
    "Also here: /bytes/1000000 is so long, /echo says what you send it, /slow takes its time.",
    ""
  ].join("\n")
}

const clientOf = <E>({ client, forwardedFor }: DemoRequest<E>): string => {
  if (forwardedFor !== "") return `${forwardedFor}, by X-Forwarded-For`
  return client === undefined ? "not told; send_proxy_protocol = true does" : formatSocketAddress(client)
}

/** The first at once, the others as they come. */
const slowLines = (demo: Demo): Stream.Stream<Uint8Array> =>
  Stream.tick(SLOW_INTERVAL).pipe(
    Stream.take(SLOW_LINES),
    Stream.map((_, i) => encoder.encode(`${demo.hostname}: line ${i + 1} of ${SLOW_LINES}\n`))
  )

export const SLOW_LINES = 10
export const SLOW_INTERVAL: Duration.Input = "1 second"

const encoder = new TextEncoder()

/** 64 KiB of lines that can be counted by eye. */
const FILLER = encoder.encode("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n".repeat(1024))
/** Elements of a stream come together, and this many 64 KiB are what a slow reader leaves with us. */
const CHUNKS_AT_ONCE = 1
