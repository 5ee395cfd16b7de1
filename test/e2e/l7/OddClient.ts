/**
 * Clients that do what comes to them by chance: good requests and bad ones, in bytes, and leave at any moment.
 *
 * All that one of them does is drawn when it begins, so that its seed gives the same again, if not the same
 * interleaving. The kernel and the proxy decide in which pieces what it sends arrives.
 */
import { Effect } from "effect"
import { connect as connectTcp } from "node:net"
import { connect as connectTls } from "node:tls"
import { drawFrom, type Draw } from "../../fuzz/Mutator.ts"
import { FLAG, frame, headers, PREFACE, resetStream, TYPE, uint32 } from "../../l7/Http2Frames.ts"
import { pseudo } from "../../l7/Requests.ts"
import { trusted } from "../harness/Certificates.ts"

/** Whom it visits, and by which number to draw all it does. */
export interface Visit {
  readonly port: number
  readonly name: string
  readonly seed: number
}

/** Long enough to have requests running and short enough that many come. */
const STAY_MS = 700

/** One connection, which is over when this completes. */
export const visit = ({ name, port, seed }: Visit): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const draw = drawFrom(seed)
    const isHttp2 = draw(2) === 0
    const steps = Array.from({ length: 1 + draw(isHttp2 ? 24 : 5) }, (_, i) => ({
      bytes: isHttp2 ? http2Step(name, draw, i) : http1Step(name, draw),
      atMs: draw(2) === 0 ? 0 : draw(STAY_MS)
    }))
    const leave = LEAVES[draw(LEAVES.length)]!
    const leavesAtMs = draw(STAY_MS)
    const readsNothing = draw(5) === 0
    const timers: Array<NodeJS.Timeout> = []
    const later = (ms: number, act: () => void) => void timers.push(setTimeout(act, ms))

    const tcp = connectTcp({ host: "127.0.0.1", port })
    const ALPNProtocols = [isHttp2 ? "h2" : "http/1.1"]
    const tls = connectTls({ socket: tcp, servername: name, ca: trusted, ALPNProtocols })
    tcp.on("error", () => {})
    tls
      .on("error", () => {})
      .on("close", () => {
        for (const timer of timers) clearTimeout(timer)
        resume(Effect.void)
      })
    if (!readsNothing) tls.resume()
    later(STAY_MS, () => tls.destroy())
    later(leavesAtMs, () => leave(tls, tcp))
    tls.once("secureConnect", () => {
      if (isHttp2) tls.write(PREFACE)
      for (const { atMs, bytes } of steps) later(atMs, () => tls.writable && tls.write(bytes))
    })
  })

const LEAVES: ReadonlyArray<(tls: NodeJS.WritableStream, tcp: ReturnType<typeof connectTcp>) => void> = [
  (_tls, tcp) => tcp.destroy(),
  (_tls, tcp) => tcp.resetAndDestroy(),
  (_tls, tcp) => tcp.end(),
  (tls) => tls.end(),
  () => {}
]

const WEBSOCKET = [
  ...["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
]

const http1 = (name: string, line: string, fields: ReadonlyArray<string> = [], body = ""): string =>
  `${[line, `Host: ${name}`, ...fields].join("\r\n")}\r\n\r\n${body}`

const HTTP1_STEPS: ReadonlyArray<(name: string) => string> = [
  (name) => http1(name, "GET /get HTTP/1.1"),
  (name) => http1(name, "GET /get HTTP/1.1").repeat(5),
  (name) => http1(name, "HEAD /head HTTP/1.1"),
  (name) => http1(name, "get /lower HTTP/1.1"),
  (name) => http1(name, "GET /last HTTP/1.1", ["Connection: close"]),
  (name) => http1(name, "GET /old HTTP/1.0", ["Connection: keep-alive"]),
  (name) => http1(name, "POST /known HTTP/1.1", ["Content-Length: 3"], "abc"),
  (name) => http1(name, "POST /part HTTP/1.1", ["Content-Length: 30"], "abc"),
  (name) => http1(name, "POST /large HTTP/1.1", ["Content-Length: 300000"], "b".repeat(300_000)),
  (name) =>
    http1(
      name,
      "POST /chunks HTTP/1.1",
      ["Transfer-Encoding: chunked", "Expect: 100-continue"],
      "3\r\nabc\r\n0\r\nx-a: 1\r\n\r\n"
    ),
  (name) => http1(name, "POST /garbled HTTP/1.1", ["Transfer-Encoding: chunked"], "zz\r\n"),
  (name) => http1(name, "GET /socket HTTP/1.1", WEBSOCKET, "\x81\x85\0\0\0\0hello"),
  (name) => http1(name, "GET /call HTTP/1.1", ["Content-Type: application/grpc"]),
  (name) => http1(name, `CONNECT ${name}:443 HTTP/1.1`),
  () => "GET / HT",
  () => "\0\x01"
]

const http1Step = (name: string, draw: Draw): Buffer =>
  Buffer.from(HTTP1_STEPS[draw(HTTP1_STEPS.length)]!(name), "latin1")

const data = (stream: number, bytes: number, flags: number) => frame(TYPE.data, flags, stream, Buffer.alloc(bytes, "q"))

/** `any` is some stream that there may have been. */
const HTTP2_STEPS: ReadonlyArray<(stream: number, name: string, any: number) => ReadonlyArray<Buffer>> = [
  ...["GET", "HEAD", "get"].map((method) => (stream: number, name: string) => [
    headers(stream, pseudo({ ":authority": name, ":method": method }))
  ]),
  (stream, name) => [headers(stream, pseudo({ ":authority": name })), resetStream(stream)],
  (stream, name) => [headers(stream, post(name), FLAG.none), data(stream, 16_000, FLAG.endStream)],
  (stream, name) => [headers(stream, post(name), FLAG.none), data(stream, 3, FLAG.none)],
  (stream, name) => [headers(stream, post(name), FLAG.none), data(stream, 3, FLAG.none), resetStream(stream)],
  (stream, name) => [
    headers(stream, [...post(name), "te", "trailers"], FLAG.none),
    data(stream, 3, FLAG.none),
    headers(stream, ["x-a", "1", "constructor", "1"])
  ],
  (stream, name) => [headers(stream, [...post(name), "content-type", "application/grpc"], FLAG.endStream)],
  (stream, name) => [
    headers(stream, [...post(name), "content-length", "1"], FLAG.none),
    data(stream, 2, FLAG.endStream)
  ],
  (stream, name) => [
    headers(stream, [...pseudo({ ":authority": name, ":method": "CONNECT" }), ":protocol", "websocket"], FLAG.none),
    data(stream, 20, FLAG.none)
  ],
  (stream) => [headers(stream, pseudo({ ":authority": "other.test" }))],
  (stream, name) => [headers(stream, [...pseudo({ ":authority": name }), "Upper", "1"])],
  (_stream, _name, any) => [data(any, 10, FLAG.endStream)],
  (_stream, _name, any) => [resetStream(any)],
  (_stream, _name, any) => [frame(TYPE.windowUpdate, FLAG.none, any, uint32(1 << 20))],
  () => [frame(TYPE.windowUpdate, FLAG.none, 0, uint32(1 << 20))],
  () => [frame(TYPE.ping, FLAG.none, 0, Buffer.alloc(8))],
  () => [frame(TYPE.settings, FLAG.none, 0)],
  () => [frame(TYPE.settings, FLAG.none, 0, Buffer.concat([Buffer.of(0, INITIAL_WINDOW_SIZE), uint32(1)]))],
  () => [frame(TYPE.goAway, FLAG.none, 0, Buffer.alloc(8))],
  () => [frame(99, 0xff, 0, Buffer.alloc(99))]
]

const INITIAL_WINDOW_SIZE = 4

const post = (name: string) => pseudo({ ":authority": name, ":method": "POST" })

const http2Step = (name: string, draw: Draw, i: number): Buffer =>
  Buffer.concat(HTTP2_STEPS[draw(HTTP2_STEPS.length)]!(2 * i + 1, name, 1 + 2 * draw(i + 1)))
