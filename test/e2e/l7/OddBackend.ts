/**
 * Backends that answer each request in some way by chance, mostly an odd one: in bytes, as no library would.
 *
 * The scope closes them with everything that is open on them.
 */
import { Effect, type Scope } from "effect"
import { createServer, type Socket } from "node:net"
import type { Draw } from "../../fuzz/Mutator.ts"
import { listenOn } from "../../l7/backend/World.ts"
import { fieldBlock, FLAG, frame, framesOf, headers, resetStream, TYPE, uint32 } from "../../l7/Http2Frames.ts"

/** Starts one; gives its `ip:port`. */
export const startOddBackend = (protocol: "h2" | "http/1.1", draw: Draw): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    listenOn(
      createServer({ allowHalfOpen: draw(2) === 0 }, (socket) => {
        if (protocol === "h2") serveHttp2(socket, draw)
        else socket.on("data", () => HTTP1_ODDITIES[draw(HTTP1_ODDITIES.length)]!(socket))
      })
    ),
    ({ port }) => `127.0.0.1:${port}`
  )

type Oddity = (socket: Socket) => void

/** Sends it, and then does something to the connection. */
const sends =
  (text: string, then: Oddity = () => {}): Oddity =>
  (socket) =>
    void socket.write(text, "latin1", () => then(socket))

const resets: Oddity = (socket) => void socket.resetAndDestroy()
const closes: Oddity = (socket) => void socket.end()

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/** What comes of each piece of a request, which may be several for one. */
const HTTP1_ODDITIES: ReadonlyArray<Oddity> = [
  ...Array.from({ length: 6 }, () => sends(OK)),
  () => {},
  resets,
  closes,
  sends("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", closes),
  sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", resets),
  sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
  sends(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n${"z".repeat(0x40000)}\r\n0\r\nx-t: 1\r\n\r\n`),
  sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nconstructor: 1\r\n__proto__: 1\r\n\r\n"),
  sends(`HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${OK}`),
  sends("HTTP/1.1 204 No Content\r\n\r\n"),
  sends("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
  sends("HTTP/1.1 200 OK\r\n\r\nup to the end", closes),
  sends("HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc"),
  sends("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nxxx"),
  sends("HTTP/1.1 799 Odd\r\nX: \xe9\r\nContent-Length: 2\r\n\r\nok"),
  sends("HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nContent-Length: 2\r\n\r\nok"),
  sends(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}\r\n\r\n`),
  sends(OK + OK),
  sends("no HTTP\r\n\r\n")
]

/** Answers each HEADERS frame, which may be a request's trailers, too. */
const serveHttp2 = (socket: Socket, draw: Draw): void => {
  const settings = Buffer.concat([Buffer.of(0, ENABLE_CONNECT_PROTOCOL), uint32(1)])
  socket.write(frame(TYPE.settings, FLAG.none, 0, settings))
  socket.write(frame(TYPE.windowUpdate, FLAG.none, 0, uint32(1 << 30)))
  let unread = Buffer.alloc(0)
  let isBegun = false
  socket.on("data", (bytes: Buffer) => {
    unread = Buffer.concat([unread, bytes])
    if (!isBegun && unread.length < MAGIC_BYTES) return
    if (!isBegun) unread = unread.subarray(MAGIC_BYTES)
    isBegun = true
    for (const { flags, payload, stream, type } of framesOf(unread)) {
      unread = unread.subarray(FRAME_HEADER_BYTES + payload.length)
      if (type === TYPE.headers) HTTP2_ODDITIES[draw(HTTP2_ODDITIES.length)]!(stream)(socket)
      const isQuestion = (type === TYPE.settings || type === TYPE.ping) && (flags & FLAG.ack) === 0
      if (isQuestion) socket.write(frame(type, FLAG.ack, 0, type === TYPE.ping ? payload : undefined))
    }
  })
}

const ENABLE_CONNECT_PROTOCOL = 8

/** Of what a client begins with; its SETTINGS are a frame. */
const MAGIC_BYTES = 24
const FRAME_HEADER_BYTES = 9

const sendsFrames =
  (frames: ReadonlyArray<Buffer>, then: Oddity = () => {}): Oddity =>
  (socket) =>
    void socket.write(Buffer.concat(frames), () => then(socket))

const head = (stream: number, fields: ReadonlyArray<string>, flags: number = FLAG.none) =>
  headers(stream, [":status", "200", ...fields], flags)
const data = (stream: number, text: string, flags: number = FLAG.endStream) =>
  frame(TYPE.data, flags, stream, Buffer.from(text))
const goAway = (last: number, code: number) =>
  frame(TYPE.goAway, FLAG.none, 0, Buffer.concat([uint32(last), uint32(code)]))

const answers = (stream: number) => sendsFrames([head(stream, ["content-length", "2"]), data(stream, "ok")])

const HTTP2_ODDITIES: ReadonlyArray<(stream: number) => Oddity> = [
  ...Array.from({ length: 12 }, () => answers),
  () => () => {},
  () => resets,
  () => closes,
  // PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED, and none.
  ...[1, 2, 7, 8, 11, 13, 0].map((code) => (stream: number) => sendsFrames([resetStream(stream, code)])),
  (stream) => sendsFrames([head(stream, []), data(stream, "abc", FLAG.none), resetStream(stream, 2)]),
  (stream) => sendsFrames([head(stream, []), data(stream, "abc"), resetStream(stream, 0)]),
  (stream) => sendsFrames([head(stream, []), data(stream, "abc", FLAG.none)]),
  (stream) => sendsFrames([head(stream, []), data(stream, "abc", FLAG.none)], closes),
  (stream) => sendsFrames([head(stream, ["content-length", "10"]), data(stream, "abc")]),
  (stream) => sendsFrames([head(stream, ["content-length", "2"]), data(stream, "abc")]),
  (stream) => sendsFrames([headers(stream, [":status", "204"])]),
  (stream) => sendsFrames([headers(stream, [":status", "103"], FLAG.none), answered(stream)]),
  (stream) => sendsFrames([headers(stream, [":status", "101"], FLAG.none), answered(stream)]),
  (stream) => sendsFrames([headers(stream, [":status", "2"])]),
  (stream) => sendsFrames([headers(stream, ["x", "1"])]),
  (stream) => sendsFrames([head(stream, ["X-Upper", "1"], FLAG.endStream)]),
  (stream) => sendsFrames([head(stream, ["connection", "close"], FLAG.endStream)]),
  (stream) => sendsFrames([data(stream, "before its head"), answered(stream)]),
  (stream) => sendsFrames([answered(stream), answered(stream)]),
  (stream) => sendsFrames([answered(stream + 2)]),
  (stream) =>
    sendsFrames([head(stream, ["content-type", "application/grpc"]), data(stream, "abc", FLAG.none), trailers(stream)]),
  (stream) => sendsFrames([head(stream, []), headers(stream, ["x-t", "1"], FLAG.none)]),
  (stream) =>
    sendsFrames([head(stream, []), ...Array.from({ length: 8 }, () => data(stream, "z".repeat(16_000), FLAG.none))]),
  (stream) =>
    sendsFrames([head(stream, []), ...Array.from({ length: 50 }, () => data(stream, "", FLAG.none)), data(stream, "")]),
  (stream) =>
    sendsFrames([frame(TYPE.pushPromise, FLAG.endHeaders, stream, Buffer.concat([uint32(2), fieldBlock([])]))]),
  (stream) => sendsFrames([frame(TYPE.headers, FLAG.none, stream, fieldBlock([":status", "200"])), answered(stream)]),
  (stream) => sendsFrames([frame(TYPE.headers, FLAG.endHeaders, stream, Buffer.from("ffffffff", "hex"))]),
  (stream) => sendsFrames([goAway(stream, 0), answered(stream)]),
  (stream) => sendsFrames([goAway(0, 0), answered(stream)]),
  (stream) => sendsFrames([goAway(stream, 2)], closes),
  () => sendsFrames([goAway(2 ** 31 - 1, 0)]),
  () => sendsFrames([frame(TYPE.settings, FLAG.none, 0, Buffer.concat([Buffer.of(0, MAX_STREAMS), uint32(1)]))]),
  () => sendsFrames([frame(99, 0xff, 0, Buffer.alloc(99))])
]

const MAX_STREAMS = 3

const answered = (stream: number) => Buffer.concat([head(stream, []), data(stream, "ok")])
const trailers = (stream: number) => headers(stream, ["grpc-status", "0", "constructor", "1"])
